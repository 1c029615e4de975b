#pragma once
// Runs the pairs of a comparison until every cell has a verdict or the planned maximum is reached. A pair is one fresh
// process each of base and candidate, one after the other, in an order drawn from the seed. The stints take turns.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ab/ab_directory.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "gate/paired_gate.h"

namespace secondsource {

struct AbSessionOptions {
  /// Stop a stint when all of its cells have a verdict. If false, every stint gets the planned maximum (to collect a
  /// pool of pairs).
  bool stop_early = true;
};

/// The gate that judges a comparison. Its cells are all stints x scenarios x metrics.
[[nodiscard]] PairedGate gate_of(const AbRecord& record);

/// True if the time of the comparison does not allow for another pair of each stint.
[[nodiscard]] bool is_time_up(const AbRecord& record, std::span<const ProcessLine> lines);

/// True if the comparison needs no pair any more.
[[nodiscard]] bool is_measured(const AbRecord& record, std::span<const ProcessLine> lines);

/// The gate for a stint after the lines so far. When the time is up, the look that comes next is brought forward and is
/// the last one. That keeps the chance of a false alarm, since the clock decides when to look and not the values.
[[nodiscard]] PairedGate gate_of(const AbRecord& record, std::span<const ProcessLine> lines, const AbStint& stint);

/// Runs the comparison to its end; pairs that are on disk already are not measured again. A pair with a failed process
/// is measured again, at most for a fifth of the planned pairs or for three pairs, whichever is more; after two crashes
/// of one side the stint is given up. After six pairs of every stint, `progress` gets the forecast below. Errors:
/// kInterrupted, with all finished processes kept; kNotComparable when a program, module or bundle changed meanwhile;
/// kInvalidInput when a program does not understand its flags; kIo.
Result<void> run_pairs(AbDirectory& directory, const AbSessionOptions& options, Progress& progress,
                       const InterruptFlag& interrupt);

/// Forecasts from the pairs so far what the comparison can detect: one line per cell with the noise of one process, the
/// smallest slowdown that will be found, and the time it takes. Empty below kPilotPairs pairs.
[[nodiscard]] std::vector<std::string> forecast(const AbRecord& record, const std::vector<ProcessLine>& lines);

/// Number of pairs after which the noise of a stint is known well enough for a forecast.
inline constexpr std::int64_t kPilotPairs = 6;

}  // namespace secondsource
