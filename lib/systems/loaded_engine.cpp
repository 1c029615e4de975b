#include "systems/loaded_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "backend/capabilities.h"
#include "backend/module.h"
#include "core/checked.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/number.h"
#include "core/utf8.h"
#include "fault/faulty_backend.h"
#include "golden/golden_pass.h"
#include "host/host_telemetry.h"
#include "profile/operation_timer.h"
#include "systems/engine_system.h"
#include "systems/loaded_golden.h"
#include "systems/loaded_prompts.h"

namespace secondsource {
namespace {

// Number and lengths of the prompts by which a bundle without expected outputs is compared with an oracle. They are
// small because the oracle runs plain loops: more would take longer than the measurement itself.
constexpr std::int32_t kOraclePrompts = 2;
constexpr std::int32_t kOraclePromptTokens = 8;
constexpr std::int32_t kOracleAnswerTokens = 6;
// Number of requests traced when the scenario's batch is smaller than this.
constexpr std::int32_t kTracedRequests = 4;

std::vector<Refusal> refusals_of(const Backend& backend) {
  const Capabilities capabilities = probe_capabilities(backend);
  std::vector<Refusal> refusals;
  for (const OperationSupport& one : capabilities.operations) {
    if (!one.support.supported) refusals.push_back({one.operation, "", one.support.reason});
  }
  for (const WeightSupport& one : capabilities.weights) {
    if (one.support.supported) continue;
    refusals.push_back({"matmul", weight_support_name(one.encoding, one.act), one.support.reason});
  }
  return refusals;
}

class LoadedEngine final : public LoadedSystem {
 public:
  static Result<std::unique_ptr<LoadedSystem>> load(const SystemJob& job, Progress& progress) {
    const InterruptFlag never;
    SS_TRY(const BackendOptions options, backend_options_of(job.options));
    SS_TRY(std::unique_ptr<Backend> backend,
           load_backend_with_fault(module_folders(job.program), job.backend, options));
    SS_TRY(Bundle bundle, Bundle::open(job.bundle, progress, never));
    auto loaded = std::unique_ptr<LoadedEngine>(new LoadedEngine(job, std::move(bundle)));
    SS_TRY_VOID(loaded->open(std::move(backend), progress, never));
    return std::unique_ptr<LoadedSystem>(std::move(loaded));
  }

  SystemUnderTest& system() override { return *system_; }
  Result<DeviceRates> measure_rates(RateEffort effort) override {
    Backend& backend = session_->backend();
    if (backend.device().is_host) return LoadedSystem::measure_rates(effort);
    return backend.measure_rates(effort);
  }
  std::vector<TelemetrySource*> telemetry() override { return {&*device_telemetry_}; }

  Result<GoldenRecord> golden_pass(const std::optional<OracleAnswers>& answers, Progress& progress) override {
    const auto against_expected = [&]() -> Result<GoldenRecord> {
      SS_TRY(GoldenResult result,
             run_golden_pass(*session_, prompts_->golden, {.step_deadline_ns = job_.step_deadline_ns}, progress));
      return std::move(result.record);
    };
    const auto against_oracle = [&](const OracleAnswers& oracle) -> Result<GoldenRecord> {
      std::int64_t n_not_finite = 0;
      const auto greedy_answer = [&](const std::vector<std::int32_t>& prompt,
                                     std::int32_t n_tokens) -> Result<std::vector<std::int32_t>> {
        SS_TRY(std::vector<std::int32_t> ids, answer(prompt, n_tokens, progress));
        if (std::ssize(ids) < n_tokens) ++n_not_finite;
        return ids;
      };
      SS_TRY(GoldenRecord record, compare_with_oracle(oracle, greedy_answer));
      if (n_not_finite > 0) {
        record.reasons.push_back(
            fmt::format("{} ended early, because logits were a NaN or an infinity", counted(n_not_finite, "answer")));
      }
      return record;
    };
    return verify_tokens(job_, prompts_->golden, answers, {against_expected, against_oracle});
  }

  Result<OracleAnswers> oracle_answers(Progress& progress) override {
    OracleAnswers answers{job_.backend, {}, {}};
    for (std::int32_t index = 0; index < kOraclePrompts; ++index) {
      answers.prompts.push_back(
          random_prompt(job_.seed, index, kOraclePromptTokens, static_cast<std::int32_t>(bundle_.config().vocab_size)));
      SS_TRY(std::vector<std::int32_t> ids, answer(answers.prompts.back(), kOracleAnswerTokens, progress));
      if (std::ssize(ids) < kOracleAnswerTokens) {
        return Error{ErrorCode::kInternal,
                     fmt::format("token {}: expected finite logits, found a NaN or an infinity", ids.size())};
      }
      answers.answers.push_back(std::move(ids));
    }
    return answers;
  }

  Result<PreparedWork> prepare(const Scenario& scenario, const LoadSeed& seed) override {
    Engine& engine = session_->engine();
    SchedulerOptions options = engine.scheduler().options();
    options.max_seqs = scenario.batch;
    options.batching = scenario.batching;
    system_->forget_prefix();
    SS_TRY_VOID(engine.set_scheduler(options));
    // Compiles all steps here, so that none is compiled while the clock runs.
    SS_TRY(const std::int64_t compile_ns, engine.prepare({}));
    SS_TRY(const std::optional<ArrivalTrace> trace, trace_of(scenario));
    return PreparedWork{prompts_->workload.items(scenario, seed, trace ? &*trace : nullptr), compile_ns};
  }

  Result<OperationTimes> time_operations(const TimeOperationsCommand& command, ProgressCount& progress) override {
    Scenario scenario = command.scenario;
    scenario.n_requests = std::min(scenario.n_requests, std::max(scenario.batch, kTracedRequests));
    SS_TRY(const PreparedWork work, prepare(scenario, command.seed));
    std::vector<TimedRequest> requests;
    for (const WorkItem& item : work.items) requests.push_back(item.request);
    // First runs the same pass without a clock around every operation; the difference is the cost of these clocks.
    OperationTimer untraced(nullptr);
    SS_TRY_VOID(run_observed(untraced, requests, scenario.batch, progress));
    session_->engine().set_group_timing(GroupTiming::kOn);
    auto traced = run_traced(command, requests, scenario.batch, progress);
    session_->engine().set_group_timing(GroupTiming::kOff);
    if (!traced) return traced.error();
    traced->overhead = untraced.device_ns() > 0
                           ? static_cast<double>(traced->device_ns) / static_cast<double>(untraced.device_ns()) - 1
                           : 0;
    return traced;
  }

 private:
  LoadedEngine(const SystemJob& job, Bundle bundle) : job_(job), bundle_(std::move(bundle)) {}

  Result<void> open(std::unique_ptr<Backend> backend, Progress& progress, const InterruptFlag& interrupt) {
    SS_TRY(prompts_, LoadedPrompts::load(bundle_, job_));
    const EngineOptions options = engine_options(backend->device());
    SS_TRY(session_, ModelSession::open(std::move(backend), bundle_.config(), bundle_.tensors(), job_.variant, options,
                                        progress, interrupt));
    system_.emplace(*session_, prompts_->text.tokenizer(), job_.step_deadline_ns);
    device_telemetry_.emplace(session_->backend());
    return {};
  }

  /// Sizes the KV cache for the most tokens that any of the job's scenarios, the golden pass or the oracle's prompts
  /// hold at once and no more, because peak memory is one of the results.
  EngineOptions engine_options(const DeviceInfo& device) const {
    EngineOptions options = prompts_->golden.cases.empty() ? EngineOptions{} : golden_engine_options(prompts_->golden);
    if (prompts_->golden.cases.empty()) options.scheduler.max_seqs = 1;
    std::int64_t longest = kOraclePromptTokens + kOracleAnswerTokens;
    for (const Scenario& scenario : job_.scenarios) {
      const std::int64_t each = prompts_->workload.longest_prompt(scenario) + scenario.n_output_tokens;
      longest = std::max(longest, each);
      options.scheduler.max_seqs = std::max(options.scheduler.max_seqs, scenario.batch);
      const std::int64_t n_held = scenario.n_shared_prefix > 0 ? 1 : 0;  // holds the cache of the shared prefix
      // One page more per sequence, because its last page is rarely full.
      options.kv_tokens = std::max(options.kv_tokens, (scenario.batch + n_held) * (each + 1 + device.page_tokens));
    }
    // The engine requires room for one token more than the sequence has.
    const std::int64_t needed = round_up<std::int64_t>(longest + 1, device.page_tokens);
    options.max_context = std::min(bundle_.config().max_seq_len, std::max(options.max_context, needed));
    options.kv_tokens = std::max(options.kv_tokens, options.max_context);
    return options;
  }

  /// Returns the wall time of the pass in nanoseconds.
  Result<std::int64_t> run_observed(OperationTimer& trace, const std::vector<TimedRequest>& requests,
                                    std::int32_t in_flight, ProgressCount& progress) {
    const InterruptFlag never;
    system_->observe_steps([&trace](const Engine& engine) { trace.add(engine); });
    const Result<LoadResult> load = generate_load(*system_, requests, {.in_flight = in_flight}, never, progress);
    system_->observe_steps({});
    if (!load) return load.error();
    return load->end_ns - load->start_ns;
  }

  Result<OperationTimes> run_traced(const TimeOperationsCommand& command, const std::vector<TimedRequest>& requests,
                                    std::int32_t in_flight, ProgressCount& progress) {
    SS_TRY([[maybe_unused]] const std::int64_t compile_ns, session_->engine().prepare({}));
    SS_TRY(TraceEventFile file,
           TraceEventFile::append(command.file, {command.process, command.cell}, command.origin_ns));
    OperationTimer trace(&file);
    OperationTimes times;
    times.cell = command.cell;
    SS_TRY(times.wall_ns, run_observed(trace, requests, in_flight, progress));
    times.n_requests = static_cast<std::int64_t>(requests.size());
    for (const TimedRequest& request : requests) times.output_tokens += request.n_output_tokens;
    times.n_steps = trace.n_steps();
    times.device_ns = trace.device_ns();
    times.operations = trace.operations();
    times.refusals = refusals_of(session_->backend());
    SS_TRY_VOID(file.flush());
    return times;
  }

  /// The greedy continuation of one prompt, which ends early only where logits are not finite.
  Result<std::vector<std::int32_t>> answer(const std::vector<std::int32_t>& prompt, std::int32_t n_tokens,
                                           Progress& progress) {
    Request request;
    request.prompt_ids = prompt;
    request.max_new_tokens = n_tokens;
    SS_TRY([[maybe_unused]] const RequestId id, session_->engine().submit(std::move(request)));
    std::vector<std::int32_t> ids;
    while (session_->engine().has_work()) {
      SS_TRY(const std::vector<TokenEvent> events, session_->engine().step({now_ns() + job_.step_deadline_ns}));
      for (const TokenEvent& event : events) {
        if (event.finish != FinishReason::kNonFinite) ids.push_back(event.id);
      }
      progress.update(static_cast<std::int64_t>(ids.size()));
    }
    return ids;
  }

  SystemJob job_;
  Bundle bundle_;
  std::optional<LoadedPrompts> prompts_;
  std::unique_ptr<ModelSession> session_;
  std::optional<EngineSystem> system_;
  std::optional<BackendTelemetry> device_telemetry_;
};

Result<std::int32_t> to_integer(std::string_view key, std::string_view text) {
  const auto value = parse_number<std::int32_t>(text);
  if (value && *value >= 0) return *value;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("backend option {}: expected a number, found {}", key, in_quotes(text))};
}

}  // namespace

Result<BackendOptions> backend_options_of(const std::vector<std::pair<std::string, std::string>>& options) {
  BackendOptions result;
  for (const auto& [key, value] : options) {
    if (key == "threads") {
      SS_TRY(result.n_threads, to_integer(key, value));
    } else if (key == "device") {
      result.device_id = value;
    } else if (key == "strict") {
      result.strict = value == "true";
    } else if (key.starts_with(kEnvironmentOption)) {
      continue;  // already in the environment of this process
    } else if (key == "cpus") {
      std::istringstream list(value);
      for (std::string cpu; std::getline(list, cpu, ',');) {
        SS_TRY(const std::int32_t number, to_integer(key, cpu));
        result.cpus.push_back(number);
      }
    } else {
      result.extra.emplace_back(key, value);
    }
  }
  return result;
}

Result<std::unique_ptr<LoadedSystem>> load_engine_system(const SystemJob& job, Progress& progress) {
  return LoadedEngine::load(job, progress);
}

}  // namespace secondsource
