#pragma once
// Speeds that other parties published, each with its source and date. Figures that mix them with measured speeds are
// marked (figure.h).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "record/slo.h"

namespace secondsource {

struct QuotedRow {
  std::string id{};
  std::string model{};
  std::string precision{};  ///< like "fp8"; speeds of different precisions differ in output quality
  std::string accelerator{};
  std::int64_t accelerators = 0;  ///< number in the whole system that the figure is for
  std::string scenario{};         ///< "offline", "server" or "interactive"
  double output_tok_per_s = 0;    ///< speed of the whole system
  std::optional<Slo> slo{};       ///< the latency limits for the figure; none for offline
  std::string submitter{};
  std::string source{};
  std::string date{};
  std::string read_on{};  ///< the day on which the source was read
  std::string note{};
};

/// Parsing is strict: unknown or missing keys give kInvalidInput with the line.
Result<std::vector<QuotedRow>> parse_quoted(std::string_view yaml, std::string_view name);
Result<std::vector<QuotedRow>> read_quoted(const std::filesystem::path& path);

}  // namespace secondsource
