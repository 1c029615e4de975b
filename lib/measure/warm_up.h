#pragma once
// Decides when a system is warm: windows of work run until three in a row agree within a tolerance, or until a given
// maximum, and the record states which of the two happened. This is perf_analyzer's rule (docs/scenarios.md).

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/fields.h"

namespace secondsource {

struct WarmUpRule {
  double tolerance = 0.05;        ///< limit on (largest - smallest) / smallest of the last windows
  std::int32_t n_agreeing = 3;    ///< number of consecutive windows that must agree
  std::int32_t max_windows = 10;  ///< after this many windows it stops, and the record says "not steady"
  std::int64_t max_time_ns = 10'000'000'000;
};
SS_FIELDS(WarmUpRule, tolerance, n_agreeing, max_windows, max_time_ns)

enum class WarmUpState : std::uint8_t {
  kContinue,
  kSteady,  ///< the last windows agree
  kGaveUp,  ///< max_windows or max_time_ns was reached first
};

/// The outcome of the warm-up of one cell.
struct WarmUpRecord {
  bool steady = false;
  std::vector<double> window_values;  ///< nanoseconds per output token of each window
  std::int64_t spent_ns = 0;
};

/// Decides after each window. `values`: nanoseconds per output token of the windows so far (any positive quantity).
[[nodiscard]] WarmUpState judge_warm_up(const WarmUpRule& rule, std::span<const double> values, std::int64_t spent_ns);

}  // namespace secondsource
