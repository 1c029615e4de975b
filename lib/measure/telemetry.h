#pragma once
// Sensors beside the measurement. A TelemetrySource is a backend's device (Backend::read_telemetry) or the host
// (host_telemetry.h); a TelemetrySampler reads all of them at a low rate on a thread of its own, never on the measuring
// one. What cannot be read is said once, with the reason: "not available: why". The series goes into telemetry.jsonl
// beside the samples.

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
  /// The sensors' values now. Rates (utilisation, power from an energy counter) are over the time since the last call.
  virtual std::vector<TelemetryReading> read() = 0;
};

/// All readings of one moment.
struct TelemetrySnapshot {
  std::int64_t at_ns = 0;  ///< monotonic clock
  std::vector<TelemetryReading> readings;
};

/// The mean of each reading over snapshots: one reading a name, in the order of first appearance, "not available"
/// kept with its reason. "..._max" names keep the largest.
[[nodiscard]] std::vector<TelemetryReading> summarize_telemetry(const std::vector<TelemetrySnapshot>& snapshots);

/// Reads sources at once, so that the shortest run has a series, and then every `period_ns` until it is destroyed.
class TelemetrySampler {
 public:
  /// `sources` must outlive the sampler. `on_snapshot`, when given, is called on the sampler's thread.
  TelemetrySampler(std::vector<TelemetrySource*> sources, std::int64_t period_ns,
                   std::function<void(const TelemetrySnapshot&)> on_snapshot = {});
  ~TelemetrySampler();
  TelemetrySampler(const TelemetrySampler&) = delete;
  TelemetrySampler& operator=(const TelemetrySampler&) = delete;

  /// The snapshots since the last call, after taking one more now.
  std::vector<TelemetrySnapshot> take();

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
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace secondsource
