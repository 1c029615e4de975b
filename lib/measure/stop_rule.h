#pragma once
// Decides when a load is given up before its end: because requests fail, because they only pile up, or because the
// result is already certain.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "measure/request_timer.h"
#include "record/rate_probe.h"

namespace secondsource {

struct StopRule {
  /// Share of ended requests that may have failed, applied once kFewestEnded requests have ended; the default is that
  /// of guidellm.
  double max_error_rate = 0.05;
  /// Number of requests that may wait for their first token at the same time; 0 means any number.
  std::int64_t max_waiting = 0;
  /// Number of requests for which `is_miss` may be true; one more decides the outcome.
  std::int64_t max_misses = INT64_MAX;
  std::function<bool(const ObservedRequest&)> is_miss{};

  static constexpr std::int64_t kFewestEnded = 20;
};

/// The reason why a load was given up.
struct LoadStop {
  ProbeVerdict verdict = ProbeVerdict::kErrors;  ///< kErrors, kSaturated or kNotKept
  std::string why{};                             ///< one sentence
};

/// Applies the rule to one load.
class StopWatch {
 public:
  explicit StopWatch(const StopRule& rule) : rule_(rule) {}
  void on_end(const ObservedRequest& request);
  /// Why the load must stop now; nullopt if it continues. `n_waiting` is the number of requests that were sent and have
  /// no first token yet.
  [[nodiscard]] std::optional<LoadStop> verdict(std::int64_t n_waiting) const;

 private:
  const StopRule& rule_;
  std::int64_t n_ended_ = 0;
  std::int64_t n_failed_ = 0;
  std::int64_t n_misses_ = 0;
};

}  // namespace secondsource
