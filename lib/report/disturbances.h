#pragma once
// Summarizes what the checks of a measurement found. A row is marked only if a disturbance could change a conclusion from
// it, and there is one line per kind of disturbance. The table of disturbances lists all of them.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "record/records.h"
#include "report/text_table.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// Half of the gate's threshold of 10 %; no conclusion is drawn from smaller differences.
inline constexpr double kMarkedVariation = 0.05;

/// The largest deviation of a repetition from the row's figure, as a share of the figure: the larger one of the median
/// time to the first token and of the throughput. nullopt for fewer than two repetitions. This is not the interval of
/// the figure: with few repetitions, a rerun may be farther away than any of them.
[[nodiscard]] std::optional<double> variation_of(const CellSummary& cell);

/// Shares of a row's time that were lost to disturbances (CellSummary::time_lost): from the first on the row is marked,
/// from the second on its figures say little about the system.
inline constexpr double kMarkedTimeLost = 0.05;
inline constexpr double kHeavyTimeLost = 0.25;

/// How much disturbances could change what a row is used for.
enum class DisturbanceGrade : std::uint8_t {
  kClean,    ///< no check suspects the measurement
  kSlight,   ///< under 5 % of the time was lost, and no repetition differed by more than 5 %
  kSuspect,  ///< 5 to 25 % of the time was lost, or a repetition differed by more than 5 %
  kHeavy,    ///< over 25 % of the time was lost
};
[[nodiscard]] DisturbanceGrade grade_of(const CellSummary& cell);

/// The mark of a row: "suspect (12 % lost)", "suspect (varied by 9 %)", "SUSPECT (60 % lost)". Empty if its grade is
/// clean or slight, or if the row has no figures.
[[nodiscard]] std::string disturbance_mark(const CellSummary& cell);

/// One line a kind of disturbance, the worst outcome first: in how many rows, and the one that is hit hardest.
[[nodiscard]] std::vector<std::string> disturbance_lines(std::span<const SummarizedRun> runs);

/// One row per cell and check that was suspect or INVALID.
[[nodiscard]] TextTable disturbance_table(std::span<const SummarizedRun> runs);

/// The notes of a cell other than those about its checks, which the functions above describe.
[[nodiscard]] std::vector<std::string> other_notes(const CellSummary& cell);

/// For a headline: the number of clean rows (slightly disturbed ones count as clean) and of the others.
[[nodiscard]] std::string clean_rows_text(std::span<const SummarizedRun> runs);

/// The first sentence of every report in which most rows lost over 25 % of their time: the figures say little about how
/// fast the systems are. Empty otherwise.
[[nodiscard]] std::string cannot_tell_sentence(std::span<const SummarizedRun> runs);

/// What was seen, in three sentences: about the tokens, the speed, and the disturbances.
[[nodiscard]] std::vector<std::string> what_was_seen(std::span<const SummarizedRun> runs);

}  // namespace secondsource
