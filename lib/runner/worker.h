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

/// What a scenario measures, ready to be sent.
struct PreparedWork {
  std::vector<WorkItem> items;  ///< at least n_requests
  std::int64_t compile_ns = 0;  ///< spent on compiling steps that were not there yet
};

/// A loaded system with its work.
class WorkerSubject {
 public:
  virtual ~WorkerSubject() = default;
  [[nodiscard]] virtual SystemUnderTest& system() = 0;
  /// The verdict on what it generates; with `answers` when the bundle has no expected outputs.
  virtual Result<GoldenRecord> golden_pass(const std::optional<OracleAnswers>& answers, Progress& progress) = 0;
  /// As an oracle: greedy ids of a few short prompts.
  virtual Result<OracleAnswers> oracle_answers(Progress& progress) = 0;
  /// Gets ready for a scenario (batch limits, compiled steps) and returns its requests: the same for every system with
  /// the same scenario, repetition and seed. Valid until the next call.
  virtual Result<PreparedWork> prepare(const Scenario& scenario, std::uint64_t seed) = 0;
  /// Where the time of a scenario goes, by operation; its spans are appended to the command's file.
  virtual Result<OperationTimes> trace(const TraceCommand& command, ProgressCount& progress) = 0;
  /// The device's sensors; may be null.
  [[nodiscard]] virtual TelemetrySource* telemetry() = 0;
};

/// Loads what the job names. Errors: the worker reports them and ends.
using SubjectFactory = std::function<Result<std::unique_ptr<WorkerSubject>>(const WorkerJob& job, Progress& progress)>;

/// Serves until `quit`, until its input ends (the parent is gone), or until the system is lost. Errors: only those of
/// the pipes; everything else is a `failed` message.
Result<void> serve_as_worker(const SubjectFactory& load);

}  // namespace secondsource
