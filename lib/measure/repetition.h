#pragma once
// Measures one repetition of one cell, from warm-up to its closing record. Samples are handed over in units: one
// request in single-stream, all requests in the other scenarios. The clock of the repetition stands still while a unit
// is stored.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bundle/expected.h"
#include "core/fields.h"
#include "core/interrupt.h"
#include "host/telemetry.h"
#include "measure/host_checks.h"
#include "measure/load_generator.h"
#include "measure/warm_up.h"
#include "record/records.h"

namespace secondsource {

/// A request, its origin, and what is known of its answer.
struct WorkItem {
  TimedRequest request;
  std::string prompt;                        ///< id of the golden prompt, or "random-SEED-REPETITION-LENGTH"
  const ExpectedOutput* expected = nullptr;  ///< null if unverified; must outlive the measurement
  double near_tie_tau = 0;
  std::int64_t arrival_ns = 0;  ///< for a recorded load: offset from the start
};

struct RepetitionPlan {
  std::string cell;
  Scenario scenario;
  std::int32_t repetition = 0;
  std::uint64_t seed = 0;  ///< seed of the arrivals
  /// nullopt if this worker measured the cell before and is warm.
  std::optional<WarmUpRule> warm_up;
  /// Single-stream stops after the request that exceeds this time; the other scenarios cannot be cut short. 0 means no
  /// limit.
  std::int64_t time_budget_ns = 0;
  /// If single-stream is resumed: the number of requests that are already stored, the clock after the last of them, and
  /// their number of output tokens.
  std::int32_t n_done = 0;
  std::int64_t clock_ns = 0;
  std::int64_t n_done_tokens = 0;
  HostCheckLimits host_limits{};
  std::int64_t load_ns = 0;                  ///< for the record: time to read and pack the weights
  std::optional<std::int64_t> compile_ns{};  ///< for the record: time to compile the cell's steps
};
SS_FIELDS(RepetitionPlan, cell, scenario, repetition, seed, warm_up, time_budget_ns, n_done, clock_ns, n_done_tokens,
          host_limits, load_ns, compile_ns)

/// Stores lines; they are safely on disk when it returns. Called outside timed regions.
using KeepLines = std::function<Result<void>(std::span<const JournalLine>)>;

/// What the measurement needs in addition to the system.
struct MeasurementContext {
  const InterruptFlag& interrupt;
  ProgressCount& progress;
  TelemetrySampler* telemetry = nullptr;  ///< may be null
  KeepLines keep;
  HostFiles host{};  ///< source of the host's counters for the checks
};

/// One attempt in a search for the highest rate under an SLO.
struct ProbePlan {
  Slo slo{};
  std::int32_t index = 0;
  ProbePhase phase = ProbePhase::kSearch;
};
SS_FIELDS(ProbePlan, slo, index, phase)

/// Warms up, sends the requests of plan.scenario at its rate (kSaturation: as many at a time as its batch), and stores a
/// RateProbe line that tells whether the SLO was kept. Ends early when the verdict is certain. Errors: as
/// measure_repetition().
Result<void> probe_rate(SystemUnderTest& system, std::span<const WorkItem> items, const RepetitionPlan& plan,
                        const ProbePlan& probe, const MeasurementContext& context);

/// Warms up, measures scenario.n_requests of `items` (which has at least that many), checks the measurement
/// (docs/checks.md), and stores the samples and the closing Repetition line. Errors: those of the system and of keep(),
/// kInterrupted; lines that were stored before stay.
Result<void> measure_repetition(SystemUnderTest& system, std::span<const WorkItem> items, const RepetitionPlan& plan,
                                const MeasurementContext& context);

}  // namespace secondsource
