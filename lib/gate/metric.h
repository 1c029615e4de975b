#pragma once
// What the gate judges of a cell: quantities that are bad when they grow, one value a repetition.

#include <array>
#include <string_view>
#include <vector>

#include "report/records.h"

namespace secondsource {

struct GateMetric {
  std::string_view name;
  /// Seconds, one a repetition; repetitions without a value are left out.
  std::vector<double> (*values)(const CellSummary&);
};

/// cost: seconds per output token ($/1K without the price, which cancels); ttft: the median time to the first token.
[[nodiscard]] const std::array<GateMetric, 2>& gate_metrics();

/// Beyond this share of the CPUs, what other processes took is part of a measurement's error; below, it is the system's
/// own background.
inline constexpr double kQuietOthersShare = 0.02;

/// Two looks at one undisturbed machine differ by as much (MachineProbe, medians over repetitions, as logarithms).
inline constexpr double kQuietMachineChange = 0.05;

}  // namespace secondsource
