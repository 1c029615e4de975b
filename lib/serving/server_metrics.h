#pragma once
// What servers and exporters say of themselves, in our terms: which of their metrics is the number of waiting requests,
// and which is the power of a device. One table holds the names of all of them, so that a server of an unknown kind which
// publishes the names of a known one is understood as well. docs/systems.md has the same table for a reader.

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
  kSince,    ///< a counter: what it grew by
  kReasons,  ///< bits of which each names a reason: 1 while one of `bits` is set
};

struct KnownMetric {
  std::string_view reading;               ///< the name in our records (docs/results-format.md)
  std::array<std::string_view, 5> names;  ///< those of the servers; the first that is there counts
  std::string_view plus{};                ///< a metric that is added where it is published
  MetricMeaning meaning = MetricMeaning::kNow;
  SeriesJoin join = SeriesJoin::kSum;
  double scale = 1;       ///< to our unit
  unsigned bits = 0;      ///< for kReasons
  bool has_most = false;  ///< the largest sample is of interest, too: NAME_max
};

/// What a server tells: requests, cache, preemptions, tokens.
[[nodiscard]] std::span<const KnownMetric> known_server_metrics();
/// What an exporter tells of a host's devices (NVIDIA's DCGM exporter).
[[nodiscard]] std::span<const KnownMetric> known_device_metrics();

struct MetricReading {
  std::string name;
  double value = 0;
};

/// The share of one count in another over a repetition, such as of prompt tokens that were found in a cache.
struct MetricRatio {
  std::string_view reading;
  std::string_view part;
  std::string_view whole;
};
[[nodiscard]] std::span<const MetricRatio> metric_ratios();

/// Turns samples into readings. Keeps the counters, so that each reading of a counter is what it grew by.
class MetricTranslator {
 public:
  explicit MetricTranslator(std::span<const KnownMetric> known) : known_(known), counters_(known.size()) {}

  /// True for the metrics that translate() looks at.
  [[nodiscard]] bool is_wanted(std::string_view name) const;
  /// What the server does not publish is absent. A counter has a reading from its second time on.
  [[nodiscard]] std::vector<MetricReading> translate(std::span<const MetricSample> samples);

 private:
  std::span<const KnownMetric> known_;
  std::vector<std::optional<double>> counters_;  ///< in the order of `known_`
};

}  // namespace secondsource
