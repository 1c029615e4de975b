#pragma once
// The text format in which servers and exporters publish their metrics (Prometheus exposition format 0.0.4,
// prometheus.io/docs/instrumenting/exposition_formats). Everything has a limit, because the text comes from another
// program.
//
//   SS_TRY(const std::vector<MetricSample> samples, parse_prometheus_text(body, [](std::string_view name) {
//     return name.starts_with("vllm:");
//   }));

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace secondsource {

/// One line of the text: a value of one series.
struct MetricSample {
  std::string name;
  std::vector<std::pair<std::string, std::string>> labels;  ///< as the server orders them
  double value = 0;                                         ///< may be infinite or not a number

  /// Empty if there is none of this name.
  [[nodiscard]] std::string_view label(std::string_view name_of_label) const;
};

/// What a request for metrics accepts, and how long the answer may be.
inline constexpr std::string_view kMetricsAccept = "text/plain;version=0.0.4";
inline constexpr std::int64_t kMostMetricsBytes = std::int64_t{4} << 20;

struct MetricsLimits {
  std::size_t most_bytes = kMostMetricsBytes;
  std::size_t longest_line = std::size_t{64} << 10;
  std::size_t most_samples = 100'000;
  std::size_t most_labels = 64;  ///< of one sample
};

/// Parses a whole text. Samples for whose name `is_wanted` is false are checked and left out. Comments, the types in them,
/// times and exemplars are not kept. Errors: kInvalidInput, naming the line.
Result<std::vector<MetricSample>> parse_prometheus_text(
    std::string_view text, const std::function<bool(std::string_view name)>& is_wanted = {},
    const MetricsLimits& limits = {});

}  // namespace secondsource
