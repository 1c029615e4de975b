#pragma once
// Translates the metrics of servers and exporters to our names: which metric is the number of waiting requests, which
// is the power of a device. One table holds the names of all servers, so a server of an unknown kind that publishes the
// names of a known one is understood as well. docs/systems.md has the same table for readers.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serving/prometheus_text.h"

namespace secondsource {

/// How several series of one metric become one value: of the engines of a server, or of the devices of a host.
enum class SeriesJoin : std::uint8_t { kSum, kMean, kLargest };

/// What a metric means.
enum class MetricMeaning : std::uint8_t {
  kNow,      ///< a state: sampled, and averaged over a repetition
  kSince,    ///< a counter: how much it grew
  kReasons,  ///< bits of which each names a reason: 1 while one of `bits` is set
};

struct KnownMetric {
  std::string_view reading;               ///< the name in our records (docs/results-format.md)
  std::array<std::string_view, 5> names;  ///< the servers' names; the first that is published counts
  std::string_view plus{};                ///< a metric that is added to it if published
  MetricMeaning meaning = MetricMeaning::kNow;
  SeriesJoin join = SeriesJoin::kSum;
  double scale = 1;       ///< to our unit
  unsigned bits = 0;      ///< for kReasons
  bool has_most = false;  ///< the largest sample is of interest, too: NAME_max
};

/// The metrics of servers: requests, cache, preemptions, tokens.
[[nodiscard]] std::span<const KnownMetric> known_server_metrics();
/// The metrics of an exporter for the devices of a host (NVIDIA's DCGM exporter).
[[nodiscard]] std::span<const KnownMetric> known_device_metrics();

struct MetricReading {
  std::string name;
  double value = 0;
};

/// The ratio of one count to another over a repetition, such as the share of prompt tokens that were found in a cache.
struct MetricRatio {
  std::string_view reading;
  std::string_view part;
  std::string_view whole;
};
[[nodiscard]] std::span<const MetricRatio> metric_ratios();

/// Turns samples into readings. It remembers the counters, so that the reading of a counter is its growth since the
/// last sample.
class MetricTranslator {
 public:
  explicit MetricTranslator(std::span<const KnownMetric> known) : known_(known), counters_(known.size()) {}

  /// True for the metrics that translate() uses.
  [[nodiscard]] bool is_wanted(std::string_view name) const;
  /// A metric that the server does not publish has no reading. A counter has one from the second call on.
  [[nodiscard]] std::vector<MetricReading> translate(std::span<const MetricSample> samples);

 private:
  std::span<const KnownMetric> known_;
  std::vector<std::optional<double>> counters_;  ///< in the order of `known_`
};

}  // namespace secondsource
