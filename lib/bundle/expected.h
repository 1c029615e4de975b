#pragma once
// Reader of expected/VARIANT.jsonl, the reference's answer to each golden prompt (docs/bundle-format.md).

#include <cstddef>
#include <cstdint>
#include <filesystem>
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
  std::optional<std::vector<std::int32_t>> prompt_ids;  ///< absent for prompts of more than 4096 ids
  std::int64_t n_prompt_ids = 0;
  std::string prompt_sha256;      ///< of the prompt's ids as little-endian int32
  std::vector<std::int32_t> ids;  ///< generated ids, with the end-of-text id if generation stopped there
  Finish finish = Finish::kLength;
  /// top[i] lists the most probable ids, best first, of the distribution from which ids[i] = top[i][0].id was chosen.
  std::vector<std::vector<TopToken>> top;
  std::vector<double> top1_margin;  ///< [i]: best logit - second-best logit
  std::vector<double> logsumexp;    ///< [i]: adding this to a log-probability gives the logit
  /// Ascending indices of ids that decide no verdict, because rounding may route their token to another expert.
  std::vector<std::int32_t> unsteady;

  [[nodiscard]] bool is_unsteady(std::size_t index) const;
};

/// The reference's logit of ids[index] minus that of `id` at the same place; infinity if `id` is not among the stored top.
[[nodiscard]] double reference_gap(const ExpectedOutput& expected, std::size_t index, std::int32_t id);

/// SHA-256 of the ids as little-endian int32, as in prompt_sha256.
[[nodiscard]] std::string sha256_of_ids(const std::vector<std::int32_t>& ids);

/// Parses all lines. Error messages begin with `name` and the line. Errors: kInvalidInput.
Result<std::vector<ExpectedOutput>> parse_expected(std::string_view text, std::string_view name);

/// Reads a file of at most 1 GiB, and refuses ids outside of the vocabulary: they have no logits, so no backend could be
/// judged by them. Errors: kInvalidInput, kIo.
Result<std::vector<ExpectedOutput>> read_expected(const std::filesystem::path& file, std::int64_t vocab_size);

}  // namespace secondsource
