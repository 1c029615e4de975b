#pragma once
// A system under test with everything that measuring it takes: its requests, the verdict on its tokens, its sensors. A
// worker process (lib/runner) loads one and executes the run's commands on it.

#include <cstdint>
#include <optional>
#include <vector>

#include "backend/device_rates.h"
#include "core/progress.h"
#include "core/result.h"
#include "host/telemetry.h"
#include "measure/model_pool.h"
#include "measure/repetition.h"
#include "measure/system_under_test.h"
#include "systems/system_job.h"
#include "systems/workload.h"

namespace secondsource {

/// The requests of one scenario, ready to be sent.
struct PreparedWork {
  std::vector<WorkItem> items;  ///< at least Scenario::n_requests
  /// Time spent on compiling steps that were not compiled yet; nullopt for a system that does not show it.
  std::optional<std::int64_t> compile_ns{};
};

/// A loaded system together with its workload.
class LoadedSystem {
 public:
  virtual ~LoadedSystem() = default;
  [[nodiscard]] virtual SystemUnderTest& system() = 0;
  /// The same system as a pool of models; null if it is not one.
  [[nodiscard]] virtual ModelPool* pool() { return nullptr; }
  /// Judges the tokens that the system generates. `answers` is the reference for a bundle without expected outputs.
  virtual Result<GoldenRecord> golden_pass(const std::optional<OracleAnswers>& answers, Progress& progress) = 0;
  /// Called when this system is the oracle: returns the greedy token ids for a few short prompts.
  virtual Result<OracleAnswers> oracle_answers(Progress& progress) = 0;
  /// Prepares for a scenario (batch limits, compiled steps) and returns its requests, which are the same for every
  /// system given the same scenario and seed. The result is valid until the next call.
  virtual Result<PreparedWork> prepare(const Scenario& scenario, const LoadSeed& seed) = 0;
  /// Measures where the time of a scenario goes, by operation, and appends the spans to the command's trace file.
  virtual Result<OperationTimes> time_operations(const TimeOperationsCommand& command, ProgressCount& progress) = 0;
  /// The highest rates of its device, measured now; no request may be in flight. Errors: kUnsupported for a system on
  /// the host or one that does not measure its device; else as Backend::measure_rates().
  virtual Result<DeviceRates> measure_rates([[maybe_unused]] RateEffort effort) {
    return Error{ErrorCode::kUnsupported, "the limits of this device were not measured"};
  }
  /// Its sensors: those of its device and the values that it reports about itself. They live as long as this object.
  [[nodiscard]] virtual std::vector<TelemetrySource*> telemetry() = 0;
};

}  // namespace secondsource
