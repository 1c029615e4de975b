#pragma once
// Runs the pairs of a comparison: fresh processes of base and candidate, one after the other, who goes first by the
// seed's coin, stint by stint in turn, until every cell has its verdict or the planned maximum is reached.

#include <functional>
#include <string>
#include <vector>

#include "ab/ab_directory.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "gate/paired_gate.h"

namespace secondsource {

struct AbSessionOptions {
  /// Stop a stint when all of its cells have a verdict. Off: every stint gets the planned maximum (for a pool of
  /// pairs).
  bool stop_early = true;
};

/// The gate that a comparison is judged by: its cells are all stints x scenarios x metrics.
[[nodiscard]] PairedGate gate_of(const AbRecord& record);

/// Takes the comparison to its end; what is on disk already is not taken again. A pair with a process that failed is
/// taken again, for a fifth of the planned pairs at most, or for three where that is more; after two crashes of one
/// side a stint is given up. After six pairs of every stint it says what can be told here, and in what time. Errors:
/// kInterrupted (everything that was taken is kept); kNotComparable when a program, module or bundle changed meanwhile;
/// kInvalidInput when a program does not understand its flags; kIo.
Result<void> run_pairs(AbDirectory& directory, const AbSessionOptions& options, Progress& progress,
                       const InterruptFlag& interrupt);

/// What the pairs so far can tell: a line a cell, with the noise of one process, the smallest slowdown that is found,
/// and how long it takes. Empty below kPilotPairs pairs.
[[nodiscard]] std::vector<std::string> forecast(const AbRecord& record, const std::vector<ProcessLine>& lines);

/// Pairs of a stint after which its noise is known well enough for a forecast.
inline constexpr std::int64_t kPilotPairs = 6;

}  // namespace secondsource
