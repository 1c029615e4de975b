#pragma once
// The parent's side of one worker: starts it, sends it commands, watches its progress, and finds out how it ended.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/child_process.h"
#include "core/interrupt.h"
#include "core/result.h"
#include "host/child_watch.h"
#include "host/host_files.h"
#include "runner/worker_failure.h"
#include "runner/worker_protocol.h"

namespace secondsource {

struct WorkerDeadlines {
  std::int64_t step_ns = 120'000'000'000;    ///< without progress for this long, the worker counts as hung
  std::int64_t cell_ns = 1'800'000'000'000;  ///< a worker that needs longer for one command counts as hung
};

/// Callbacks for the messages that a worker sends while it executes a command.
struct WorkerListener {
  /// Writes the lines to the disk.
  std::function<Result<void>(std::span<const JournalLine>)> on_lines;
  std::function<void(const TelemetrySnapshot&)> on_telemetry;
  /// Asked before lines are kept: a failure of what the worker measures. The worker is then ended, and the lines are not
  /// kept.
  std::function<WorkerOutcome(std::span<const JournalLine>)> lost{};
};

class WorkerClient {
 public:
  /// Starts the worker process. `host` has the kernel's counters. Errors: kIo, kInvalidInput.
  static Result<WorkerClient> start(const ChildCommand& command, WorkerDeadlines deadlines,
                                    const InterruptFlag& interrupt, const HostFiles& host = HostFiles());

  // Each of these sends one command and handles the worker's messages until it has answered, until a deadline passes or
  // until the run is interrupted or paused. After a failure that ended the worker, is_alive() is false. Errors:
  // kInterrupted; errors of the listener.
  Result<WorkerOutcome> load(const SystemJob& job, const WorkerListener& listener);
  Result<WorkerOutcome> golden(const std::optional<OracleAnswers>& answers, const WorkerListener& listener,
                               GoldenRecord& record);
  Result<WorkerOutcome> answers(const WorkerListener& listener, OracleAnswers& result);
  Result<WorkerOutcome> time_operations(const TimeOperationsCommand& command, const WorkerListener& listener);
  Result<WorkerOutcome> measure(const MeasureCommand& command, const WorkerListener& listener);
  /// The best rates of the loaded system's device. May also be called by WorkerListener::on_lines during another
  /// command; a failure is then reported by that command. nullopt, with `why_not`, if the device does not report its
  /// rates.
  Result<std::optional<DeviceRates>> rates(RateEffort effort, std::string& why_not);
  /// Asks the worker to end, and kills it if it does not end soon.
  void quit();

  [[nodiscard]] bool is_alive() const noexcept { return alive_; }

 private:
  WorkerClient(ChildProcess process, WorkerDeadlines deadlines, const InterruptFlag& interrupt, ChildWatch watch)
      : process_(std::move(process)),
        deadlines_(deadlines),
        interrupt_(interrupt),
        watch_(std::move(watch)),
        paused_with_us_(std::in_place, interrupt, process_.group()) {}

  /// The answer to a command: any message except `lines` and `alive`.
  struct Answer {
    std::optional<WorkerMessage> message;
    std::optional<WorkerFailure> failure;
  };
  Result<Answer> ask(const WorkerRequest& request, const WorkerListener& listener);
  Result<void> keep(const LinesMessage& lines, const WorkerListener& listener);
  /// The worker has closed its end of a pipe. Waits for its end, but not past a deadline.
  Result<Answer> closed();
  Answer hung(std::string_view why);
  /// Builds the failure of a worker that ended by itself.
  Answer ended(const ChildExit& exit);
  Answer failed(const Error& error);
  [[nodiscard]] FailureKind kind_of(ErrorCode code) const;
  Answer paused();
  /// Ends the process. Returns what to add to a message about it: nothing, unless it does not end.
  std::string end();

  ChildProcess process_;
  WorkerDeadlines deadlines_;
  const InterruptFlag& interrupt_;
  ChildWatch watch_;
  std::optional<WorkerFailure> lost_;               ///< that of a worker that failed while it was asked for rates
  FailureKind kind_of_loss_ = FailureKind::kError;  ///< what it is if the system that was loaded is lost
  bool alive_ = true;
  std::optional<PausedWithUs> paused_with_us_;  ///< while the process exists
};

}  // namespace secondsource
