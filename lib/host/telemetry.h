#pragma once
// Reads sensors during a measurement. A TelemetrySource is a backend's device (Backend::read_telemetry) or the host
// (host_telemetry.h). A TelemetrySampler reads all sources at a low rate on a thread of its own, never on the measuring
// thread. A sensor that cannot be read is reported once with the reason: "not available: why". The series is written to
// telemetry.jsonl beside the samples.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backend/backend.h"

namespace secondsource {

class TelemetrySource {
 public:
  virtual ~TelemetrySource() = default;
  /// The current values of the sensors. Rates (utilisation, power from an energy counter) cover the time since the last
  /// call.
  virtual std::vector<TelemetryReading> read() = 0;
  /// Called at both ends of a repetition, outside of what is timed: the next read() should return present values. May
  /// wait for at most a quarter of a second. Never called at the same time as read().
  virtual void refresh() {}
  /// Adds what follows from the summary of a whole repetition, such as the ratio of two counts.
  virtual void derive(std::vector<TelemetryReading>& summary) const { (void)summary; }
};

/// All readings of one point in time.
struct TelemetrySnapshot {
  std::int64_t at_ns = 0;  ///< monotonic clock
  std::vector<TelemetryReading> readings;
};

/// The mean of each reading over snapshots: one reading per name, in the order of first appearance. "Not available" is
/// kept with its reason. For names ending in "_max" the largest value is kept, and those ending in "_count" are added.
[[nodiscard]] std::vector<TelemetryReading> summarize_telemetry(const std::vector<TelemetrySnapshot>& snapshots);

/// Reads the sources once at the start, so that even the shortest run has a series, and then every `period_ns` until it
/// is destroyed.
class TelemetrySampler {
 public:
  /// `sources` must outlive the sampler. `on_snapshot`, if given, is called with every snapshot: on the sampler's thread, or in
  /// take() on that of its caller, never on both at once.
  TelemetrySampler(std::vector<TelemetrySource*> sources, std::int64_t period_ns,
                   std::function<void(const TelemetrySnapshot&)> on_snapshot = {});
  ~TelemetrySampler();
  TelemetrySampler(const TelemetrySampler&) = delete;
  TelemetrySampler& operator=(const TelemetrySampler&) = delete;

  /// Refreshes the sources, takes one more snapshot and returns all snapshots since the last call.
  std::vector<TelemetrySnapshot> take();
  /// The summary of these snapshots, with what the sources derive from it.
  [[nodiscard]] std::vector<TelemetryReading> summary_of(const std::vector<TelemetrySnapshot>& snapshots) const;

 private:
  void run();
  TelemetrySnapshot read_sources();

  std::vector<TelemetrySource*> sources_;
  std::int64_t period_ns_;
  std::function<void(const TelemetrySnapshot&)> on_snapshot_;
  std::mutex mutex_;
  std::condition_variable stop_changed_;
  bool stop_ = false;
  std::vector<TelemetrySnapshot> snapshots_;
  std::thread thread_;  ///< the last member, because it uses all others
};

}  // namespace secondsource
