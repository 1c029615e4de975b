#pragma once
// The child's side: takes commands from its standard input, measures, and answers on its standard output. What it
// measures comes from a WorkerSubject, so that this file knows neither engine nor bundle.

#include <functional>
#include <memory>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "measure/repetition.h"
#include "measure/system_under_test.h"
#include "measure/telemetry.h"
#include "runner/worker_protocol.h"

namespace secondsource {

/// A loaded system with its work.
class WorkerSubject {
 public:
  virtual ~WorkerSubject() = default;
  [[nodiscard]] virtual SystemUnderTest& system() = 0;
  /// The verdict on what it generates; with `answers` when the bundle has no expected outputs.
  virtual Result<GoldenRecord> golden_pass(const std::optional<OracleAnswers>& answers, Progress& progress) = 0;
  /// As an oracle: greedy ids of a few short prompts.
  virtual Result<OracleAnswers> oracle_answers(Progress& progress) = 0;
  /// Gets ready for a scenario (batch limits, compiled steps) and returns its requests, at least n_requests; the same
  /// for every system with the same scenario, repetition and seed. Valid until the next call.
  virtual Result<std::vector<WorkItem>> prepare(const Scenario& scenario, std::uint64_t seed) = 0;
  /// The device's sensors; may be null.
  [[nodiscard]] virtual TelemetrySource* telemetry() = 0;
};

/// Loads what the job names. Errors: the worker reports them and ends.
using SubjectFactory = std::function<Result<std::unique_ptr<WorkerSubject>>(const WorkerJob& job, Progress& progress)>;

/// Serves until `quit`, until its input ends (the parent is gone), or until the system is lost. Errors: only those of
/// the pipes; everything else is a `failed` message.
Result<void> serve_as_worker(const SubjectFactory& load);

}  // namespace secondsource
