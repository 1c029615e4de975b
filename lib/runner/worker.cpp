#include "runner/worker.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <mutex>
#include <new>
#include <string>

#include "core/clock.h"
#include "core/file.h"
#include "measure/host_telemetry.h"

namespace secondsource {
namespace {

// Also how often the parent hears that something moves.
constexpr std::int64_t kTelemetryPeriodNs = 500'000'000;

/// Lines out, from two threads. Standard output itself becomes standard error: what a library prints must not get
/// between the messages.
class MessagePipe {
 public:
  MessagePipe() : pipe_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)) { ::dup2(STDERR_FILENO, STDOUT_FILENO); }

  Result<void> send(const WorkerMessage& message) {
    const std::string line = to_line(message) + "\n";
    const std::lock_guard lock(mutex_);
    std::string_view rest = line;
    while (!rest.empty()) {
      const ssize_t n_written = ::write(pipe_.get(), rest.data(), rest.size());
      if (n_written < 0 && errno == EINTR) continue;
      if (n_written < 0) return Error{ErrorCode::kIo, "worker: the run does not listen any more"};
      rest.remove_prefix(static_cast<std::size_t>(n_written));
    }
    return {};
  }

 private:
  FileDescriptor pipe_;
  std::mutex mutex_;
};

/// Turns progress of the library into the count that the parent watches.
class CountingProgress final : public Progress {
 public:
  explicit CountingProgress(ProgressCount& count) : count_(count) {}
  void begin(std::string_view, std::int64_t) override { count_.fetch_add(1, std::memory_order_relaxed); }
  void update(std::int64_t) override { count_.fetch_add(1, std::memory_order_relaxed); }
  void note(std::string_view) override {}

 private:
  ProgressCount& count_;
};

class Worker {
 public:
  explicit Worker(const SubjectFactory& load) : load_(load), progress_(count_) {}

  Result<void> serve() {
    while (true) {
      const Result<WorkerRequest> request = next_request();
      if (!request) return request.error();
      if (std::holds_alternative<QuitCommand>(*request)) return {};
      // Only an allocation failure can be thrown here: libraries' exceptions end where they are included.
      Result<void> handled = Error{ErrorCode::kOutOfMemory, "no memory left on the host"};
      try {
        handled = std::visit([this](const auto& command) { return handle(command); }, *request);
      } catch (const std::bad_alloc&) {
        handled = Error{ErrorCode::kOutOfMemory, "no memory left on the host (bad_alloc)"};
      }
      if (handled) continue;
      SS_TRY_VOID(pipe_.send(FailedMessage{handled.error()}));
      if (!subject_) return {};
    }
  }

 private:
  /// The end of the input is a quit: the parent is gone or done.
  Result<WorkerRequest> next_request() {
    std::string line;
    if (!std::getline(std::cin, line)) return WorkerRequest(QuitCommand{});
    return worker_request_from_line(line);
  }

  Result<void> handle(const LoadCommand& command) {
    const std::int64_t started_ns = now_ns();
    // Signs of life while weights are loaded, which can take minutes.
    start_sampler({&host_telemetry_});
    SS_TRY(subject_, load_(command.job, progress_));
    std::vector<TelemetrySource*> sources = {&host_telemetry_};
    if (TelemetrySource* device = subject_->telemetry()) sources.push_back(device);
    start_sampler(std::move(sources));
    return pipe_.send(LoadedMessage{subject_->system().name(), now_ns() - started_ns});
  }

  void start_sampler(std::vector<TelemetrySource*> sources) {
    sampler_.reset();
    sampler_ = std::make_unique<TelemetrySampler>(std::move(sources), kTelemetryPeriodNs,
                                                  [this](const TelemetrySnapshot& snapshot) {
                                                    // A parent that is gone ends this process by itself.
                                                    (void)pipe_.send(AliveMessage{count_.load(), snapshot});
                                                  });
  }

  Result<void> handle(const GoldenCommand& command) {
    SS_TRY_VOID(check_loaded());
    SS_TRY(GoldenRecord record, subject_->golden_pass(command.answers, progress_));
    return pipe_.send(GoldenMessage{std::move(record)});
  }

  Result<void> handle(const AnswersCommand&) {
    SS_TRY_VOID(check_loaded());
    SS_TRY(OracleAnswers answers, subject_->oracle_answers(progress_));
    return pipe_.send(AnswersMessage{std::move(answers)});
  }

  Result<void> handle(const MeasureCommand& command) {
    SS_TRY_VOID(check_loaded());
    SS_TRY(const std::vector<WorkItem> items, subject_->prepare(command.plan.scenario, command.plan.seed));
    const MeasurementContext context{
        .interrupt = interrupt_,
        .progress = count_,
        .telemetry = sampler_.get(),
        .keep = [this](std::span<const JournalLine> lines) { return keep(lines); },
    };
    SS_TRY_VOID(measure_repetition(subject_->system(), items, command.plan, context));
    return pipe_.send(DoneMessage{});
  }

  Result<void> handle(const KeptCommand&) { return Error{ErrorCode::kInternal, "worker: nothing was kept"}; }
  Result<void> handle(const QuitCommand&) { return {}; }

  /// Sends lines up and waits until they are on the disk.
  Result<void> keep(std::span<const JournalLine> lines) {
    SS_TRY_VOID(pipe_.send(LinesMessage{{lines.begin(), lines.end()}}));
    SS_TRY(const WorkerRequest answer, next_request());
    if (std::holds_alternative<KeptCommand>(answer)) return {};
    return Error{ErrorCode::kInterrupted, "worker: the run is over"};
  }

  Result<void> check_loaded() const {
    if (subject_) return {};
    return Error{ErrorCode::kInternal, "worker: nothing is loaded"};
  }

  const SubjectFactory& load_;
  ProgressCount count_{0};
  CountingProgress progress_;
  const InterruptFlag interrupt_;  // the parent kills a worker that should stop
  MessagePipe pipe_;
  std::unique_ptr<WorkerSubject> subject_;
  HostTelemetry host_telemetry_;
  std::unique_ptr<TelemetrySampler> sampler_;  ///< last: it reads the subject's device
};

}  // namespace

Result<void> serve_as_worker(const SubjectFactory& load) {
  return Worker(load).serve();
}

}  // namespace secondsource
