#pragma once
// The quantities of a cell that the gate judges. Larger is worse, and each repetition gives one value.

#include <array>
#include <string_view>
#include <vector>

#include "record/records.h"

namespace secondsource {

struct GateMetric {
  std::string_view name;
  /// Values in seconds, one per repetition; repetitions without a value are left out.
  std::vector<double> (*values)(const CellSummary&);
};

/// "cost" is seconds per output token, since the price in $/1K cancels; "ttft" is the median time to first token.
[[nodiscard]] const std::array<GateMetric, 2>& gate_metrics();

/// CPU share of other processes beyond this value is added to the error of a measurement; up to this value it is normal
/// background load.
inline constexpr double kQuietOthersShare = 0.02;

/// Difference between two probes of one undisturbed machine (MachineProbe; medians over repetitions, as logarithms).
inline constexpr double kQuietMachineChange = 0.05;

}  // namespace secondsource
