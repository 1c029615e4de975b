#pragma once
// Published speeds: somebody else's figures, each with its source and date. They are never mixed with measured ones
// without saying so (figure.h).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "report/slo.h"

namespace secondsource {

struct QuotedRow {
  std::string id{};
  std::string model{};
  std::string precision{};  ///< "fp8": columns of other precisions are other qualities
  std::string accelerator{};
  std::int64_t accelerators = 0;  ///< of the whole system that the figure is for
  std::string scenario{};         ///< "offline", "server" or "interactive"
  double output_tok_per_s = 0;    ///< of the whole system
  std::optional<Slo> slo{};       ///< the limits under which the figure was reached; offline has none
  std::string submitter{};
  std::string source{};
  std::string date{};
  std::string note{};
};

/// Strict, as every reader of ours.
Result<std::vector<QuotedRow>> parse_quoted(std::string_view yaml, std::string_view name);
Result<std::vector<QuotedRow>> read_quoted(const std::filesystem::path& path);

}  // namespace secondsource
