#pragma once
// expected/VARIANT.jsonl: what the reference answered to each golden prompt (docs/bundle-format.md).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

struct TopToken {
  std::int32_t id = 0;
  double log_probability = 0.0;  ///< natural logarithm
};

enum class Finish : std::uint8_t { kEos, kLength };

/// The reference's greedy continuation of one prompt.
struct ExpectedOutput {
  std::string prompt;                                   ///< the prompt's id
  std::optional<std::vector<std::int32_t>> prompt_ids;  ///< left out above 4096 ids
  std::int64_t n_prompt_ids = 0;
  std::string prompt_sha256;      ///< of the ids as little-endian int32
  std::vector<std::int32_t> ids;  ///< with the end-of-text id when it stopped there
  Finish finish = Finish::kLength;
  /// top[i]: the best ids, best first, of the distribution that chose ids[i] = top[i][0].id.
  std::vector<std::vector<TopToken>> top;
  std::vector<double> top1_margin;  ///< [i]: z(best) - z(second)
  std::vector<double> logsumexp;    ///< [i]: a logit = its log-probability + this
};

/// SHA-256 of ids as little-endian int32: prompt_sha256.
[[nodiscard]] std::string sha256_of_ids(const std::vector<std::int32_t>& ids);

/// All lines; `name` stands first in errors, with the line. Errors: kInvalidInput.
Result<std::vector<ExpectedOutput>> parse_expected(std::string_view text, std::string_view name);

}  // namespace secondsource
