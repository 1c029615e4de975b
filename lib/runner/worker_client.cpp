#include "runner/worker_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/clock.h"
#include "core/interrupt.h"
#include "core/units.h"

namespace secondsource {
namespace {

constexpr std::int64_t kQuitNs = 2'000'000'000;

/// Time that counts against a worker: that for which this process watched it. Nothing is counted while this process
/// was stopped itself (SIGSTOP) or did other work.
class WatchedTime {
 public:
  /// Adds the time since `began_ns`, when a wait of at most kInterruptPeriodNs began.
  void add_wait_since(std::int64_t began_ns) { spent_ns_ += std::min(now_ns() - began_ns, 2 * kInterruptPeriodNs); }
  void start_again() { spent_ns_ = 0; }
  [[nodiscard]] std::int64_t spent_ns() const { return spent_ns_; }

 private:
  std::int64_t spent_ns_ = 0;
};

}  // namespace

Result<WorkerClient> WorkerClient::start(const ChildCommand& command, WorkerDeadlines deadlines,
                                         const InterruptFlag& interrupt, const HostFiles& host) {
  ChildWatch watch(command.stderr_file, host);
  SS_TRY(ChildProcess process, ChildProcess::start(command));
  return WorkerClient(std::move(process), deadlines, interrupt, std::move(watch));
}

Result<WorkerOutcome> WorkerClient::load(const SystemJob& job, const WorkerListener& listener) {
  // A lost adapter has ended, like a server.
  if (job.adapter) kind_of_loss_ = FailureKind::kCrash;
  SS_TRY(const Answer answer, ask(LoadCommand{job}, listener));
  return answer.failure;
}

Result<WorkerOutcome> WorkerClient::golden(const std::optional<OracleAnswers>& answers, const WorkerListener& listener,
                                           GoldenRecord& record) {
  SS_TRY(Answer answer, ask(GoldenCommand{answers}, listener));
  if (answer.failure) return answer.failure;
  if (auto* golden = std::get_if<GoldenMessage>(&*answer.message)) record = std::move(golden->record);
  return WorkerOutcome();
}

Result<WorkerOutcome> WorkerClient::answers(const WorkerListener& listener, OracleAnswers& result) {
  SS_TRY(Answer answer, ask(AnswersCommand{}, listener));
  if (answer.failure) return answer.failure;
  if (auto* message = std::get_if<AnswersMessage>(&*answer.message)) result = std::move(message->answers);
  return WorkerOutcome();
}

Result<WorkerOutcome> WorkerClient::measure(const MeasureCommand& command, const WorkerListener& listener) {
  SS_TRY(const Answer answer, ask(command, listener));
  return answer.failure;
}

Result<WorkerOutcome> WorkerClient::time_operations(const TimeOperationsCommand& command,
                                                    const WorkerListener& listener) {
  SS_TRY(const Answer answer, ask(command, listener));
  return answer.failure;
}

Result<std::optional<DeviceRates>> WorkerClient::rates(RateEffort effort, std::string& why_not) {
  SS_TRY(Answer answer, ask(RatesCommand{effort}, {}));
  if (answer.failure) {
    lost_ = std::move(answer.failure);
    why_not = lost_->message;
    return std::optional<DeviceRates>();
  }
  auto* const message = std::get_if<RatesMessage>(&*answer.message);
  if (message == nullptr) {
    why_not = "the worker answered something else";
    return std::optional<DeviceRates>();
  }
  why_not = std::move(message->why_not);
  return std::move(message->rates);
}

void WorkerClient::quit() {
  if (!alive_) return;
  alive_ = false;
  if (process_.send(to_line(QuitCommand{}))) {
    const std::int64_t until_ns = now_ns() + kQuitNs;
    // Discards its remaining messages until it closes its end.
    while (now_ns() < until_ns && process_.receive(until_ns)) {
    }
  }
  end();
}

Result<WorkerClient::Answer> WorkerClient::ask(const WorkerRequest& request, const WorkerListener& listener) {
  if (lost_) return Answer{std::nullopt, std::exchange(lost_, std::nullopt)};
  const std::int64_t paused_ns = interrupt_.paused_ns();
  if (!process_.send(to_line(request))) return closed();
  WatchedTime since_start;
  WatchedTime since_progress;
  std::int64_t last_progress = -1;
  while (true) {
    SS_TRY_VOID(interrupt_.check());
    const std::int64_t began_ns = now_ns();
    const Result<std::optional<std::string>> line = process_.receive(began_ns + kInterruptPeriodNs);
    if (interrupt_.paused_ns() != paused_ns) return paused();
    if (!line) return closed();
    since_start.add_wait_since(began_ns);
    since_progress.add_wait_since(began_ns);
    if (since_progress.spent_ns() > deadlines_.step_ns) {
      return hung(fmt::format("the worker made no progress for {}", format_duration_ns(since_progress.spent_ns())));
    }
    if (since_start.spent_ns() > deadlines_.cell_ns) {
      return hung(fmt::format("the worker had not finished after {}", format_duration_ns(since_start.spent_ns())));
    }
    if (!*line) continue;
    Result<WorkerMessage> understood = worker_message_from_line(**line);
    if (!understood) return failed(understood.error());
    WorkerMessage message = *std::move(understood);
    if (const auto* alive = std::get_if<AliveMessage>(&message)) {
      if (alive->progress != last_progress) since_progress.start_again();
      last_progress = alive->progress;
      if (listener.on_telemetry) listener.on_telemetry(alive->snapshot);
    } else if (const auto* lines = std::get_if<LinesMessage>(&message)) {
      since_progress.start_again();
      if (listener.lost) {
        if (WorkerOutcome failure = listener.lost(lines->lines)) {
          end();
          return Answer{std::nullopt, std::move(failure)};
        }
      }
      SS_TRY_VOID(keep(*lines, listener));
      if (lost_) return Answer{std::nullopt, std::exchange(lost_, std::nullopt)};
    } else if (const auto* failure = std::get_if<FailedMessage>(&message)) {
      return failed(failure->error);
    } else {
      return Answer{std::move(message), std::nullopt};
    }
  }
}

Result<void> WorkerClient::keep(const LinesMessage& lines, const WorkerListener& listener) {
  if (listener.on_lines) SS_TRY_VOID(listener.on_lines(lines.lines));
  if (lost_) return {};
  // If the worker has died meanwhile, the next receive() reports it.
  (void)process_.send(to_line(KeptCommand{}));
  return {};
}

Result<WorkerClient::Answer> WorkerClient::closed() {
  const std::int64_t paused_ns = interrupt_.paused_ns();
  WatchedTime since_closed;
  while (since_closed.spent_ns() <= deadlines_.step_ns) {
    SS_TRY_VOID(interrupt_.check());
    const std::int64_t began_ns = now_ns();
    if (const std::optional<ChildExit> exit = process_.wait(began_ns + kInterruptPeriodNs)) return ended(*exit);
    if (interrupt_.paused_ns() != paused_ns) return paused();
    since_closed.add_wait_since(began_ns);
  }
  return hung(
      fmt::format("the worker closed its pipe but did not end within {}", format_duration_ns(since_closed.spent_ns())));
}

std::string WorkerClient::end() {
  const ChildExit exit = process_.kill();
  alive_ = false;
  paused_with_us_.reset();
  return exit.status || exit.signal ? "" : "; " + exit.text();
}

WorkerClient::Answer WorkerClient::hung(std::string_view why) {
  const std::string left = end();
  return {std::nullopt, WorkerFailure{FailureKind::kHang, fmt::format("{}; killed{}", why, left)}};
}

WorkerClient::Answer WorkerClient::paused() {
  end();
  return {std::nullopt, WorkerFailure{.message = "the run was paused", .was_paused = true}};
}

WorkerClient::Answer WorkerClient::ended(const ChildExit& exit) {
  alive_ = false;
  paused_with_us_.reset();
  return {std::nullopt, worker_failure(watch_.failure_of(exit, "the worker"))};
}

FailureKind WorkerClient::kind_of(ErrorCode code) const {
  switch (code) {
    case ErrorCode::kOutOfMemory:
      return FailureKind::kOutOfMemory;
    case ErrorCode::kDeadline:
      return FailureKind::kHang;
    case ErrorCode::kUnavailable:
      return FailureKind::kUnavailable;
    case ErrorCode::kUnsupported:
      return FailureKind::kUnsupported;
    case ErrorCode::kInvalidInput:
      return FailureKind::kBadInput;
    case ErrorCode::kDeviceLost:
      return kind_of_loss_;
    default:
      return FailureKind::kError;
  }
}

WorkerClient::Answer WorkerClient::failed(const Error& error) {
  // The worker is replaced, because a lost device does not recover, and running out of memory may leave the process in
  // any state.
  const std::string left = end();
  return {std::nullopt, WorkerFailure{kind_of(error.code), error.message + left}};
}

}  // namespace secondsource
