#include "runner/worker.h"

#include <iostream>
#include <new>
#include <string>

#include "core/clock.h"
#include "host/host_telemetry.h"
#include "host/perf_counters.h"
#include "measure/swap_repetition.h"
#include "runner/line_pipe.h"
#include "systems/workload.h"

namespace secondsource {
namespace {

// Also the period of the progress messages to the parent.
constexpr std::int64_t kTelemetryPeriodNs = 500'000'000;

/// Turns each progress report of the library into an increment of the count that the parent watches.
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
  explicit Worker(const SystemLoader& load) : load_(load), progress_(count_) {}

  Result<void> serve() {
    while (true) {
      const Result<WorkerRequest> request = next_request();
      if (!request) return request.error();
      if (std::holds_alternative<QuitCommand>(*request)) return {};
      // Only allocation failures can be thrown here; other exceptions of third-party libraries are caught where the
      // libraries are called.
      Result<void> handled = Error{ErrorCode::kOutOfMemory, "no memory left on the host"};
      try {
        handled = std::visit([this](const auto& command) { return handle(command); }, *request);
      } catch (const std::bad_alloc&) {
        handled = Error{ErrorCode::kOutOfMemory, "no memory left on the host (bad_alloc)"};
      }
      if (handled) continue;
      SS_TRY_VOID(say(FailedMessage{handled.error()}));
      if (!system_) return {};
    }
  }

 private:
  /// The end of the input counts as `quit`: the parent has exited or closed its end.
  Result<WorkerRequest> next_request() {
    std::string line;
    if (!std::getline(std::cin, line)) return WorkerRequest(QuitCommand{});
    return worker_request_from_line(line);
  }

  Result<void> handle(const LoadCommand& command) {
    const std::int64_t started_ns = now_ns();
    client_ = command.job.client;
    // Reports progress while the weights are loaded, which can take minutes.
    start_sampler({&host_telemetry_});
    SS_TRY(system_, load_(command.job, progress_));
    std::vector<TelemetrySource*> sources = {&host_telemetry_, &perf_counters_};
    for (TelemetrySource* source : system_->telemetry()) sources.push_back(source);
    start_sampler(std::move(sources));
    load_ns_ = now_ns() - started_ns;
    return say(LoadedMessage{system_->system().name(), load_ns_});
  }

  void start_sampler(std::vector<TelemetrySource*> sources) {
    sampler_.reset();
    sampler_ = std::make_unique<TelemetrySampler>(std::move(sources), kTelemetryPeriodNs,
                                                  [this](const TelemetrySnapshot& snapshot) {
                                                    // A failed send is ignored, because this process ends with its
                                                    // parent anyway.
                                                    (void)say(AliveMessage{count_.load(), snapshot});
                                                  });
  }

  Result<void> handle(const GoldenCommand& command) {
    SS_TRY_VOID(check_loaded());
    SS_TRY(GoldenRecord record, system_->golden_pass(command.answers, progress_));
    return say(GoldenMessage{std::move(record)});
  }

  Result<void> handle(const AnswersCommand&) {
    SS_TRY_VOID(check_loaded());
    SS_TRY(OracleAnswers answers, system_->oracle_answers(progress_));
    return say(AnswersMessage{std::move(answers)});
  }

  Result<void> handle(const MeasureCommand& command) {
    SS_TRY_VOID(check_loaded());
    SS_TRY(const PreparedWork work,
           system_->prepare(command.plan.scenario, LoadSeed(command.plan.seed, command.plan.repetition)));
    RepetitionPlan plan = command.plan;
    plan.seed = arrivals_seed(client_, plan.seed);
    plan.load_ns = load_ns_;
    plan.compile_ns = work.compile_ns;
    const MeasurementContext context{
        .interrupt = interrupt_,
        .progress = count_,
        .telemetry = sampler_.get(),
        .keep = [this](std::span<const JournalLine> lines) { return keep(lines); },
    };
    if (ModelPool* const pool = system_->pool()) {
      SS_TRY_VOID(measure_swap_repetition(*pool, work.items, plan, context));
      return say(DoneMessage{});
    }
    SS_TRY_VOID(command.probe ? probe_rate(system_->system(), work.items, plan, *command.probe, context)
                              : measure_repetition(system_->system(), work.items, plan, context));
    return say(DoneMessage{});
  }

  Result<void> handle(const TimeOperationsCommand& command) {
    SS_TRY_VOID(check_loaded());
    SS_TRY(OperationTimes times, system_->time_operations(command, count_));
    const JournalLine line = std::move(times);
    SS_TRY_VOID(keep(std::span(&line, 1)));
    return say(DoneMessage{});
  }

  Result<void> handle(const RatesCommand& command) {
    SS_TRY_VOID(check_loaded());
    Result<DeviceRates> rates = system_->measure_rates(command.effort);
    count_.fetch_add(1, std::memory_order_relaxed);
    if (!rates) return say(RatesMessage{std::nullopt, rates.error().message});
    return say(RatesMessage{std::move(*rates), ""});
  }

  Result<void> handle(const KeptCommand&) { return Error{ErrorCode::kInternal, "worker: nothing was kept"}; }
  Result<void> handle(const QuitCommand&) { return {}; }

  /// Sends lines to the parent and waits until they are on the disk; meanwhile it may ask for rates of the device.
  Result<void> keep(std::span<const JournalLine> lines) {
    SS_TRY_VOID(say(LinesMessage{{lines.begin(), lines.end()}}));
    while (true) {
      SS_TRY(const WorkerRequest answer, next_request());
      if (std::holds_alternative<KeptCommand>(answer)) return {};
      const auto* const rates = std::get_if<RatesCommand>(&answer);
      if (rates == nullptr) return Error{ErrorCode::kInterrupted, "worker: the run is over"};
      SS_TRY_VOID(handle(*rates));
    }
  }

  Result<void> say(const WorkerMessage& message) { return pipe_.send(to_line(message)); }

  Result<void> check_loaded() const {
    if (system_) return {};
    return Error{ErrorCode::kInternal, "worker: nothing is loaded"};
  }

  const SystemLoader& load_;
  PerfCounters perf_counters_;  ///< constructed before any thread starts, since it counts only threads that start later
  ProgressCount count_{0};
  CountingProgress progress_;
  const InterruptFlag interrupt_;  // never set: the parent kills a worker that should stop
  LinePipe pipe_;
  std::unique_ptr<LoadedSystem> system_;
  std::int64_t load_ns_ = 0;
  LoadClient client_;
  HostTelemetry host_telemetry_;
  std::unique_ptr<TelemetrySampler> sampler_;  ///< last member, so that it stops before the device that it reads is
                                               ///< destroyed
};

}  // namespace

Result<void> serve_as_worker(const SystemLoader& load) {
  return Worker(load).serve();
}

}  // namespace secondsource
