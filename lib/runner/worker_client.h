#pragma once
// The run's side of one worker: starts it, commands it, watches that it moves, and finds out how it ended.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/interrupt.h"
#include "core/result.h"
#include "runner/worker_process.h"
#include "runner/worker_protocol.h"

namespace secondsource {

struct WorkerDeadlines {
  std::int64_t step_ns = 120'000'000'000;    ///< nothing moved for so long: hung
  std::int64_t cell_ns = 1'800'000'000'000;  ///< one command took so long: hung
};

/// What the run does with what a worker says while it works.
struct WorkerListener {
  /// Puts lines on the disk.
  std::function<Result<void>(std::span<const JournalLine>)> on_lines;
  std::function<void(const TelemetrySnapshot&)> on_telemetry;
};

/// A worker that failed, in the words of FailureRecord::kind: "crash", "hang", "out-of-memory", "unavailable",
/// "unsupported", "error".
struct WorkerFailure {
  std::string kind;
  std::string message;
};

/// Success, or how it failed. A Result's Error is reserved for what ends the whole run: the disk, an interrupt.
using WorkerOutcome = std::optional<WorkerFailure>;

class WorkerClient {
 public:
  /// Starts the process. Errors: kIo, kInvalidInput.
  static Result<WorkerClient> start(const WorkerCommand& command, WorkerDeadlines deadlines,
                                    const InterruptFlag& interrupt);

  // Each sends one command and serves the worker until it has answered. After a failure that ended the worker,
  // is_alive() is false. Errors: kInterrupted; what the listener returned.
  Result<WorkerOutcome> load(const WorkerJob& job, const WorkerListener& listener);
  Result<WorkerOutcome> golden(const std::optional<OracleAnswers>& answers, const WorkerListener& listener,
                               GoldenRecord& record);
  Result<WorkerOutcome> answers(const WorkerListener& listener, OracleAnswers& result);
  Result<WorkerOutcome> trace(const TraceCommand& command, const WorkerListener& listener);
  Result<WorkerOutcome> measure(const MeasureCommand& command, const WorkerListener& listener);
  /// Lets it end by itself, or kills it after a moment.
  void quit();

  [[nodiscard]] bool is_alive() const noexcept { return alive_; }

 private:
  WorkerClient(WorkerProcess process, WorkerDeadlines deadlines, const InterruptFlag& interrupt,
               std::filesystem::path stderr_file)
      : process_(std::move(process)),
        deadlines_(deadlines),
        interrupt_(interrupt),
        stderr_file_(std::move(stderr_file)) {}
  /// 0 when there is none.
  static std::size_t file_size(const std::filesystem::path& path);

  /// The answer to a command: any message but lines and signs of life.
  struct Answer {
    std::optional<WorkerMessage> message;
    std::optional<WorkerFailure> failure;
  };
  Result<Answer> ask(const WorkerRequest& request, const WorkerListener& listener);
  Result<void> keep(const LinesMessage& lines, const WorkerListener& listener);
  Answer hung(std::string_view why);
  /// It ended by itself: why?
  Answer ended();
  Answer failed(const Error& error);
  [[nodiscard]] std::string stderr_tail() const;

  WorkerProcess process_;
  WorkerDeadlines deadlines_;
  const InterruptFlag& interrupt_;
  std::filesystem::path stderr_file_;
  std::size_t stderr_begins_at_ = 0;  ///< what stands before is an earlier worker's
  bool alive_ = true;
};

}  // namespace secondsource
