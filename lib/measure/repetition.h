#pragma once
// One repetition of one cell, from warm-up to its closing record. Samples are handed over in units: a request in
// single-stream, all of them elsewhere; the clock of the repetition stands still while a unit is put away.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bundle/expected.h"
#include "core/interrupt.h"
#include "measure/host_checks.h"
#include "measure/load_generator.h"
#include "measure/telemetry.h"
#include "measure/warm_up.h"
#include "report/records.h"

namespace secondsource {

/// A request with where it came from and what is known of its answer.
struct WorkItem {
  TimedRequest request;
  std::string prompt;                        ///< id of the golden prompt, or "random-SEED-LENGTH"
  const ExpectedOutput* expected = nullptr;  ///< null: unverified; outlives the measurement
  double near_tie_tau = 0;
  std::int64_t arrival_ns = 0;  ///< of a recorded load: offset from the start
};

struct RepetitionPlan {
  std::string cell;
  Scenario scenario;
  std::int32_t repetition = 0;
  std::uint64_t seed = 0;  ///< of the arrivals
  /// Nullopt: this worker measured the cell before and is warm.
  std::optional<WarmUpRule> warm_up;
  /// Single-stream stops after the request that goes past it; the others cannot be cut. 0: no limit.
  std::int64_t time_budget_ns = 0;
  /// Single-stream, resumed: requests that are on disk, where the clock stood after the last, and their tokens.
  std::int32_t n_done = 0;
  std::int64_t clock_ns = 0;
  std::int64_t n_done_tokens = 0;
  HostCheckLimits host_limits{};
  std::int64_t load_ns = 0;     ///< for the record: what reading and packing the weights took
  std::int64_t compile_ns = 0;  ///< and compiling the cell's steps
};

/// Puts lines away, safely on disk when it returns. Called outside timed regions.
using KeepLines = std::function<Result<void>(std::span<const JournalLine>)>;

/// What the measurement needs beside the system.
struct MeasurementContext {
  const InterruptFlag& interrupt;
  ProgressCount& progress;
  TelemetrySampler* telemetry = nullptr;  ///< may be null
  KeepLines keep;
  HostFiles host{};  ///< where checks read the host's counters
};

/// One try of a search for the highest rate under an SLO.
struct ProbePlan {
  Slo slo{};
  std::int32_t index = 0;
};

/// Warms up, sends the requests of plan.scenario at its rate, and keeps a RateProbe line: was the SLO kept? Ends early
/// when that is certain. Errors: as measure_repetition().
Result<void> probe_rate(SystemUnderTest& system, std::span<const WorkItem> items, const RepetitionPlan& plan,
                        const ProbePlan& probe, const MeasurementContext& context);

/// Warms up, measures scenario.n_requests of `items` (there are at least so many), checks what it measured
/// (docs/checks.md), and keeps the samples and the closing Repetition line. Errors: the system's, keep()'s,
/// kInterrupted; what was kept before stays.
Result<void> measure_repetition(SystemUnderTest& system, std::span<const WorkItem> items, const RepetitionPlan& plan,
                                const MeasurementContext& context);

}  // namespace secondsource
