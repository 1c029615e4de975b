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

/// By how much a repetition differed from the row's figure at most, as a share of it: of the median time to the first token
/// and of the throughput the larger one. nullopt when there are fewer than two repetitions. The interval of a figure is
/// another thing: with few repetitions, a rerun may lie farther away than they do.
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

/// What marks the row: "suspect (12 % lost)", "suspect (varied by 9 %)", "SUSPECT (60 % lost)"; empty if its grade is clean or
/// slight, and if the row has no figures.
[[nodiscard]] std::string disturbance_mark(const CellSummary& cell);

/// One line a kind of disturbance, the worst outcome first: in how many rows, and the one that is hit hardest.
[[nodiscard]] std::vector<std::string> disturbance_lines(std::span<const SummarizedRun> runs);

/// One row per cell and check that was suspect or INVALID.
[[nodiscard]] TextTable disturbance_table(std::span<const SummarizedRun> runs);

/// The notes of a cell that are not about its checks, which the functions above tell.
[[nodiscard]] std::vector<std::string> other_notes(const CellSummary& cell);

/// How many rows are clean, slightly disturbed ones among them, and how many are not; for a headline.
[[nodiscard]] std::string clean_rows_text(std::span<const SummarizedRun> runs);

/// The sentence with which every report begins if most of the rows lost over 25 % of their time: this machine cannot tell
/// how fast the systems are. Empty otherwise.
[[nodiscard]] std::string cannot_tell_sentence(std::span<const SummarizedRun> runs);

/// What was seen, in three sentences: about the tokens, the speed, and the disturbances.
[[nodiscard]] std::vector<std::string> what_was_seen(std::span<const SummarizedRun> runs);

}  // namespace secondsource
