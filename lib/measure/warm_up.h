#pragma once
// When is a system warm? Windows of work run until three in a row agree within a tolerance, or until a stated maximum;
// which of the two it was goes into the record. After perf_analyzer's rule (docs/metrics.md).

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace secondsource {

struct WarmUpRule {
  double tolerance = 0.05;        ///< (largest - smallest) / smallest of the last windows
  std::int32_t n_agreeing = 3;    ///< windows that must agree
  std::int32_t max_windows = 10;  ///< then it stops, and the record says "not steady"
  std::int64_t max_time_ns = 10'000'000'000;
};

enum class WarmUpState : std::uint8_t {
  kContinue,
  kSteady,  ///< the last windows agree
  kGaveUp,  ///< max_windows or max_time_ns reached first
};

/// What the warm-up of one cell was.
struct WarmUpRecord {
  bool steady = false;
  std::vector<double> window_values;  ///< one a window: nanoseconds per output token
  std::int64_t spent_ns = 0;
};

/// Decides after each window. `values`: nanoseconds per output token of the windows so far (any positive quantity).
[[nodiscard]] WarmUpState judge_warm_up(const WarmUpRule& rule, std::span<const double> values, std::int64_t spent_ns);

}  // namespace secondsource
