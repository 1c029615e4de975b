#pragma once
// When a load is given up before its end: it fails, it only piles up, or its result is certain already.

#include <cstdint>
#include <functional>
#include <string>

#include "measure/request_timer.h"

namespace secondsource {

struct StopRule {
  /// Share of ended requests that may have failed, judged from kFewestEnded on; the default of guidellm.
  double max_error_rate = 0.05;
  /// Requests that may wait for their first token at once; 0: any number.
  std::int64_t max_waiting = 0;
  /// Requests that may miss what `is_miss` asks for; the next one decides the outcome.
  std::int64_t max_misses = INT64_MAX;
  std::function<bool(const ObservedRequest&)> is_miss{};

  static constexpr std::int64_t kFewestEnded = 20;
};

/// Follows one load.
class StopWatch {
 public:
  explicit StopWatch(const StopRule& rule) : rule_(rule) {}
  void on_end(const ObservedRequest& request);
  /// Why the load is over now, in a sentence; empty: it goes on. `n_waiting`: sent, and without a first token.
  [[nodiscard]] std::string verdict(std::int64_t n_waiting) const;

 private:
  const StopRule& rule_;
  std::int64_t n_ended_ = 0;
  std::int64_t n_failed_ = 0;
  std::int64_t n_misses_ = 0;
};

}  // namespace secondsource
