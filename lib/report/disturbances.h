#pragma once
// Summarizes what the checks of a measurement found. A row is marked only if a disturbance could change a conclusion from
// it, and there is one line per kind of disturbance. The table of disturbances lists all of them.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "record/records.h"
#include "report/text_table.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// Half of the gate's threshold of 10 %; no conclusion is drawn from smaller differences.
inline constexpr double kMarkedUncertainty = 0.05;

/// How far off the row's figures may be, as a share of them: the farther bound of the median time to the first token and of
/// the throughput, by their intervals, or by the extremes of the repetitions where these are too few for one. nullopt
/// when neither is known.
[[nodiscard]] std::optional<double> uncertainty_of(const CellSummary& cell);

/// True if a check suspects the measurement, and its figures may be off by more than kMarkedUncertainty.
[[nodiscard]] bool is_marked_suspect(const CellSummary& cell);

/// One line a kind of disturbance, the worst outcome first: in how many rows, and the one whose figures are least certain.
[[nodiscard]] std::vector<std::string> disturbance_lines(std::span<const SummarizedRun> runs);

/// One row per cell and check that was suspect or INVALID.
[[nodiscard]] TextTable disturbance_table(std::span<const SummarizedRun> runs);

/// The notes of a cell that are not about its checks, which the functions above tell.
[[nodiscard]] std::vector<std::string> other_notes(const CellSummary& cell);

/// What was seen, in three sentences: about the tokens, the speed, and the disturbances.
[[nodiscard]] std::vector<std::string> what_was_seen(std::span<const SummarizedRun> runs);

}  // namespace secondsource
