#pragma once
// The quantities of a cell that the gate judges. Larger is worse, and each repetition gives one value.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "record/records.h"

namespace secondsource {

struct GateMetric {
  std::string_view name;
  /// What the repetitions recorded: output tokens/s, or times in ns.
  std::vector<double> (*recorded)(const CellSummary&);
  double (*to_seconds)(double recorded);

  /// Values in seconds, one per repetition; repetitions without a value are left out.
  [[nodiscard]] std::vector<double> values(const CellSummary& cell) const;
  /// Why the repetitions that have a value must not speak for others: "cost: 2 of 5 repetitions of the base recorded an
  /// output rate that is not above 0", with " of the base" as `whose`. Nullopt if all have a value.
  [[nodiscard]] std::optional<std::string> why_without_value(const CellSummary& cell, std::string_view whose) const;
};

/// Number of metrics that are judged of each cell.
inline constexpr std::size_t kMetricsPerCell = 2;

/// "cost" is seconds per output token, since the price in $/1K cancels; "ttft" is the median time to first token. If
/// the load prescribes the rate, the output rate is that of the load and not of the system, so cost cannot regress;
/// then "ttft" and "tpot", the median time per output token after the first, are judged. For conversations,
/// "ttft_later", the median time to first token of the turns after the first, replaces "ttft", because it shows most of
/// what a prefix cache saves. Simulated users who pause to think prescribe the rate, too.
[[nodiscard]] const std::array<GateMetric, kMetricsPerCell>& gate_metrics_of(const Scenario& scenario);

/// Share of its time that a measurement lost to other processes, the hypervisor or a quota (CellSummary::time_lost). What
/// is beyond this value is added to the error of the measurement; up to this value it is normal background load.
inline constexpr double kQuietTimeLost = 0.02;

/// Difference between two probes of one undisturbed machine (MachineProbe; medians over repetitions, as logarithms).
inline constexpr double kQuietMachineChange = 0.05;

}  // namespace secondsource
