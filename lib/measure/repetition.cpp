#include "measure/repetition.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/enum_format.h"
#include "host/host_state.h"
#include "host/host_usage.h"
#include "measure/arrivals.h"
#include "measure/rate_verdict.h"
#include "measure/request_checks.h"
#include "measure/steady_window.h"
#include "measure/timed_verdict.h"
#include "record/roofline.h"
#include "record/slo.h"

namespace secondsource {
namespace {

// Output tokens of a warm-up request: enough to judge steadiness, few enough to cost much less than the measurement.
constexpr std::int32_t kWarmUpTokens = 16;
// When ten full batches wait, the queue is saturated, whatever the SLO is. A search for a rate decides by the SLO
// instead, and must not be ended by a neighbour's burst, so it tolerates as many waiting requests as arrive in two
// seconds.
constexpr std::int64_t kMostWaitingPerSlot = 10;
constexpr double kMostWaitingS = 2;

StepWork since(const StepWork& before, const StepWork& after) {
  return {.n_steps = after.n_steps - before.n_steps,
          .tokens = after.tokens - before.tokens,
          .ns = after.ns - before.ns,
          .flops = after.flops - before.flops,
          .weight_bytes = after.weight_bytes - before.weight_bytes,
          .kv_bytes = after.kv_bytes - before.kv_bytes};
}

/// Requests per second that end in a closed loop while it is full. If requests end together, in waves, the rate over
/// the whole load is right; otherwise the rate until the first slot stays empty. The wrong one of the two is always too
/// low, so the larger is taken.
double saturated_rate(const LoadResult& load) {
  const auto rate_until = [&](std::int64_t end_ns) {
    const auto n_ended = std::ranges::count_if(load.requests, [&](const ObservedRequest& request) {
      return !request.token_ns.empty() && request.token_ns.back() <= end_ns;
    });
    return end_ns > load.start_ns ? 1e9 * static_cast<double>(n_ended) / static_cast<double>(end_ns - load.start_ns)
                                  : 0;
  };
  return std::max(rate_until(load.end_ns), rate_until(load.full_until_ns));
}

class Measurement {
 public:
  Measurement(SystemUnderTest& system, std::span<const WorkItem> items, const RepetitionPlan& plan,
              const MeasurementContext& context)
      : system_(system), items_(items), plan_(plan), context_(context) {}

  Result<void> run_probe(const ProbePlan& probe) {
    SS_TRY_VOID(warm_up());
    const std::int64_t n_requests = plan_.scenario.n_requests;
    const bool is_closed_loop = probe.phase == ProbePhase::kSaturation;
    LoadShape shape = is_closed_loop ? LoadShape{.in_flight = plan_.scenario.batch, .stop = {}} : shape_of_scenario();
    if (!is_closed_loop) {
      shape.stop.max_misses = n_requests - n_needed(probe.slo, n_requests);
      shape.stop.is_miss = [&](const ObservedRequest& request) { return !keeps(to_sample(request, 0), probe.slo); };
    }
    SS_TRY(const LoadResult load, generate(shape));
    for (const ObservedRequest& request : load.requests) taken_.push_back(to_sample(request, load.start_ns));
    RateProbe result{.cell = plan_.cell, .index = probe.index, .rate_per_s = plan_.scenario.rate_per_s};
    result.phase = probe.phase;
    result.wall_s = 1e-9 * static_cast<double>(load.end_ns - load.start_ns);
    result.n_requests = static_cast<std::int64_t>(taken_.size()) + load.n_abandoned;
    result.n_kept = std::ranges::count_if(taken_, [&](const auto& sample) { return keeps(sample, probe.slo); });
    if (is_closed_loop) {
      result.rate_per_s = saturated_rate(load);
      result.verdict = load.stopped ? load.stopped->verdict : ProbeVerdict::kSaturated;
      result.why = load.stopped ? load.stopped->why
                                : fmt::format("{:.3g} requests/s are completed with {} in flight", result.rate_per_s,
                                              plan_.scenario.batch);
    } else {
      result.achieved_rate_per_s = sent_rate(taken_);
      const RateVerdict verdict = judge_rate(plan_.scenario, probe.phase, probe.slo, taken_);
      // If the load ended early, the reason decides, unless no lower rate would help.
      const bool is_decided = load.stopped && verdict.verdict != ProbeVerdict::kNever;
      result.verdict = is_decided ? load.stopped->verdict : verdict.verdict;
      result.why = is_decided ? load.stopped->why : verdict.why;
    }
    const JournalLine line = std::move(result);
    return context_.keep(std::span(&line, 1));
  }

  Result<void> run() {
    record_.cell = plan_.cell;
    record_.repetition = plan_.repetition;
    record_.load_ns = plan_.load_ns;
    record_.compile_ns = plan_.compile_ns;
    (void)system_.take_server_clock(0);  // drops what was seen before this repetition
    SS_TRY_VOID(warm_up());
    reset_peak_rss();
    if (context_.telemetry != nullptr) (void)context_.telemetry->take();
    const std::vector<std::int32_t> cpus = usable_cpus();
    const std::int64_t host_before_ns = now_ns();
    const HostState host_before = read_host_state(context_.host, cpus);
    const HostUsage before = read_host_usage(context_.host);
    const StepTotals steps_before = system_.step_totals();
    const std::int64_t started_ns = now_ns();
    const bool single = plan_.scenario.kind == ScenarioKind::kSingleStream;
    SS_TRY_VOID(single ? measure_one_by_one() : measure_together());
    record_.wall_s = 1e-9 * static_cast<double>(now_ns() - started_ns);
    // Read at once, so that the counters hold the repetition and not the work that follows it.
    const HostState host_after = read_host_state(context_.host, cpus);
    const double host_s = 1e-9 * static_cast<double>(now_ns() - host_before_ns);
    note_usage(before, read_host_usage(context_.host));
    const StepTotals steps_after = system_.step_totals();
    note_steps(steps_before, steps_after);
    std::vector<TelemetrySnapshot> telemetry;
    if (context_.telemetry != nullptr) {
      telemetry = context_.telemetry->take();
      record_.telemetry = context_.telemetry->summary_of(telemetry);
    }
    record_.memory = system_.memory();
    if (const auto peak = peak_rss_bytes(context_.host)) record_.host_memory.peak_rss_bytes = *peak;
    check_requests_and_steps(steps_after.n_compiled - steps_before.n_compiled);
    for (CheckRecord& check :
         check_host(host_before, host_after, {.wall_s = host_s, .computes_here = system_.computes_here()}, telemetry,
                    plan_.host_limits)) {
      record_.checks.push_back(std::move(check));
    }
    std::vector<JournalLine> lines(std::make_move_iterator(pending_.begin()), std::make_move_iterator(pending_.end()));
    lines.emplace_back(std::move(record_));
    return context_.keep(lines);
  }

 private:
  /// Runs warm-up windows with the scenario's own kind of work. Every window sends the same requests, so that windows can be
  /// compared.
  Result<void> warm_up() {
    if (!plan_.warm_up) return compute_shared_prefix();
    const std::size_t n_requests =
        plan_.scenario.kind == ScenarioKind::kOffline
            ? static_cast<std::size_t>(std::min(plan_.scenario.n_requests, plan_.scenario.batch))
            : 1;
    const std::vector<TimedRequest> requests = warm_up_requests(n_requests);
    std::vector<double> values;
    const std::int64_t started_ns = now_ns();
    WarmUpState state = WarmUpState::kContinue;
    while (state == WarmUpState::kContinue) {
      const LoadShape shape{.in_flight = static_cast<std::int32_t>(n_requests)};
      SS_TRY(const LoadResult load, generate_load(system_, requests, shape, context_.interrupt, context_.progress));
      std::int64_t n_tokens = 0;
      for (const ObservedRequest& request : load.requests)
        n_tokens += static_cast<std::int64_t>(request.token_ns.size());
      values.push_back(static_cast<double>(load.end_ns - load.start_ns) /
                       static_cast<double>(std::max<std::int64_t>(1, n_tokens)));
      state = judge_warm_up(*plan_.warm_up, values, now_ns() - started_ns);
    }
    record_.warmup_windows = static_cast<std::int32_t>(values.size());
    record_.warmup_settled = state == WarmUpState::kSteady;
    record_.warmup_ns_per_token = std::move(values);
    return {};
  }

  /// Has the prefix that all requests share computed before the clock runs. Own kernels forget it between repetitions, a server may
  /// have forgotten it, and the warm-up runs before the first repetition only; all repetitions are to do the same work.
  Result<void> compute_shared_prefix() {
    if (plan_.scenario.n_shared_prefix == 0) return {};
    const std::vector<TimedRequest> requests = warm_up_requests(1);
    SS_TRY_VOID(generate_load(system_, requests, {.in_flight = 1}, context_.interrupt, context_.progress));
    return {};
  }

  [[nodiscard]] std::vector<TimedRequest> warm_up_requests(std::size_t n_requests) const {
    const auto n_measured = static_cast<std::size_t>(plan_.scenario.n_requests);
    std::vector<TimedRequest> requests;
    for (std::size_t index = 0; index < n_requests; ++index) {
      // If there are enough items, the warm-up uses prompts of its own, taken from after the measured ones. Otherwise a
      // server with a prefix cache would already know the measured prompts.
      const bool has_own = n_measured + index < items_.size();
      requests.push_back(items_[has_own ? n_measured + index : index].request);
      requests.back().n_output_tokens = std::min(requests.back().n_output_tokens, kWarmUpTokens);
      requests.back().cancel_after = 0;
    }
    return requests;
  }

  Result<void> measure_one_by_one() {
    std::int64_t clock_ns = plan_.clock_ns;
    record_.window_start_ns = 0;
    record_.window_output_tokens = plan_.n_done_tokens;
    std::int64_t spent_ns = 0;
    const StopRule rule;
    StopWatch watch(rule);
    for (std::int32_t index = plan_.n_done; index < plan_.scenario.n_requests && !given_up_; ++index) {
      if (plan_.time_budget_ns > 0 && spent_ns >= plan_.time_budget_ns && index > 0) break;
      const TimedRequest& request = items_[static_cast<std::size_t>(index)].request;
      SS_TRY(const LoadResult load,
             generate_load(system_, std::span(&request, 1), {.in_flight = 1}, context_.interrupt, context_.progress));
      const SteadyWindow window = steady_window(ScenarioKind::kSingleStream, load);
      // The sample's times continue where the previous request ended.
      add_sample(load.requests.front(), index, window.start_ns - clock_ns);
      clock_ns += window.end_ns - window.start_ns;
      spent_ns += window.end_ns - window.start_ns;
      record_.window_output_tokens += window.n_output_tokens;
      SS_TRY_VOID(context_.keep(std::span(pending_)));
      pending_.clear();
      watch.on_end(load.requests.front());
      given_up_ = watch.verdict(0);
    }
    record_.window_end_ns = clock_ns;
    record_.server_clock = system_.take_server_clock(0);
    // The clock of this repetition was stopped between requests, so its times cannot be compared with moments on
    // another clock.
    if (record_.server_clock) record_.server_clock->turns.clear();
    return {};
  }

  Result<void> measure_together() {
    SS_TRY(const LoadResult load, generate(shape_of_scenario()));
    const SteadyWindow window = steady_window(plan_.scenario.kind, load, plan_.scenario.turns);
    record_.window_start_ns = window.start_ns - load.start_ns;
    record_.window_end_ns = window.end_ns - load.start_ns;
    record_.server_clock = system_.take_server_clock(load.start_ns);
    record_.window_output_tokens = window.n_output_tokens;
    for (const ObservedRequest& request : load.requests) {
      add_sample(request, static_cast<std::int32_t>(request.tag), load.start_ns);
    }
    given_up_ = load.stopped;
    n_abandoned_ = load.n_abandoned;
    return {};
  }

  /// Runs the requests of the scenario in its load shape. Their tags are their indices among the items.
  Result<LoadResult> generate(const LoadShape& shape) {
    std::vector<TimedRequest> requests;
    for (const WorkItem& item : items_.first(static_cast<std::size_t>(plan_.scenario.n_requests))) {
      requests.push_back(item.request);
      requests.back().tag = static_cast<std::int64_t>(requests.size()) - 1;
    }
    return generate_load(system_, requests, shape, context_.interrupt, context_.progress);
  }

  [[nodiscard]] LoadShape shape_of_scenario() const {
    const Scenario& scenario = plan_.scenario;
    LoadShape shape{.in_flight = scenario.batch, .turns = scenario.turns, .stop = {}};
    const std::uint64_t seed = plan_.seed + static_cast<std::uint64_t>(plan_.repetition);
    if (scenario.has_conversations()) shape.think_ns = think_times_ns(scenario, seed);
    if (scenario.kind != ScenarioKind::kServer) return shape;
    shape.stop.max_waiting = kMostWaitingPerSlot * scenario.batch;
    if (scenario.seeks_slo_rate) {
      const auto of_time = static_cast<std::int64_t>(kMostWaitingS * scenario.rate_per_s);
      shape.stop.max_waiting = std::max(shape.stop.max_waiting, of_time);
    }
    if (scenario.arrivals == ArrivalKind::kTrace) {
      for (const WorkItem& item : items_.first(static_cast<std::size_t>(scenario.n_requests))) {
        shape.arrival_offsets_ns.push_back(item.arrival_ns);
      }
      return shape;
    }
    shape.arrival_offsets_ns = arrival_offsets_ns({.kind = scenario.arrivals,
                                                   .rate_per_s = scenario.rate_per_s,
                                                   .burstiness = scenario.burstiness,
                                                   .n_requests = scenario.n_requests / scenario.turns,
                                                   .seed = seed});
    return shape;
  }

  void add_sample(const ObservedRequest& observed, std::int32_t index, std::int64_t origin_ns) {
    const WorkItem& item = items_[static_cast<std::size_t>(index)];
    RequestSample sample = to_sample(observed, origin_ns);
    if (observed.end && observed.end->count_text_tokens) sample.text_tokens = observed.end->count_text_tokens();
    sample.cell = plan_.cell;
    sample.repetition = plan_.repetition;
    sample.request = index;
    sample.prompt = item.prompt;
    if (plan_.scenario.has_conversations()) sample.turn = 1 + index % plan_.scenario.turns;
    const bool knows_ids = std::ranges::none_of(observed.token_ids, [](std::int32_t id) { return id < 0; });
    if (item.expected != nullptr && sample.error.empty() && knows_ids) {
      const TimedVerdict verdict = judge_timed_tokens(observed.token_ids, *item.expected, item.near_tie_tau);
      sample.verified_tokens = verdict.verified_tokens;
      sample.near_tie_at = verdict.near_tie_at;
      sample.wrong_at = verdict.wrong_at;
    }
    if (sample.finish == RequestFinish::kCancelled) sample.asked_tokens = item.request.n_output_tokens;
    asked_.push_back(item.request.n_output_tokens);
    taken_.push_back(sample);
    pending_.emplace_back(std::move(sample));
  }

  void check_requests_and_steps(std::int64_t n_compiled) {
    const bool shows_steps = all_steps(record_).ns > 0 || n_compiled > 0;
    const std::vector<RequestSample> arrived = arrivals();
    record_.rate_per_s = rate_of_open_loop();
    if (record_.rate_per_s) record_.achieved_rate_per_s = sent_rate(arrived);
    CheckRecord timestamps = check_timestamps(taken_);
    if (!system_.computes_here()) suspect_late_arrivals(taken_, timestamps);
    record_.checks = {check_requests(taken_),
                      check_tokens(taken_, asked_),
                      timestamps,
                      check_rate(plan_.scenario, arrived),
                      check_queue(plan_.scenario, arrived),
                      check_prompt_cache(plan_.scenario, taken_),
                      check_warm_up(taken_, record_.warmup_settled),
                      check_compiled(shows_steps ? std::optional(n_compiled) : std::nullopt)};
    if (given_up_) note_given_up(*given_up_);
  }

  /// Makes the check that is concerned say why the load was given up.
  void note_given_up(const LoadStop& stop) {
    const std::string_view concerned = stop.verdict == ProbeVerdict::kSaturated ? "queue" : "requests";
    const auto check = std::ranges::find(record_.checks, concerned, &CheckRecord::name);
    // The check of failed requests also has what the system said.
    const std::string& why = stop.verdict == ProbeVerdict::kErrors ? check->detail : stop.why;
    std::string detail = fmt::format("{}: {}", stop.verdict, why);
    if (n_abandoned_ > 0) detail += fmt::format("; {} given up", counted(n_abandoned_, "request was", "requests were"));
    *check = {check->name, CheckOutcome::kInvalid, std::move(detail)};
  }

  /// The samples that count as arrivals. In conversations these are the first turns, since the later ones depend on the
  /// system.
  [[nodiscard]] std::vector<RequestSample> arrivals() const {
    std::vector<RequestSample> arrived = taken_;
    std::erase_if(arrived, [](const RequestSample& sample) { return sample.turn && *sample.turn > 1; });
    return arrived;
  }

  /// The rate that was asked for; for a recorded load, the rate of its schedule.
  [[nodiscard]] std::optional<double> rate_of_open_loop() const {
    if (plan_.scenario.kind != ScenarioKind::kServer) return std::nullopt;
    if (plan_.scenario.arrivals == ArrivalKind::kTrace) return scheduled_rate(taken_);
    return plan_.scenario.rate_per_s;
  }

  void note_usage(const HostUsage& before, const HostUsage& after) {
    record_.process_cpu_s = after.process_cpu_s - before.process_cpu_s;
    record_.others_cpu_share = others_cpu_share(before, after);
    record_.involuntary_switches = after.involuntary_switches - before.involuntary_switches;
    record_.major_faults = after.major_faults - before.major_faults;
  }

  void note_steps(const StepTotals& before, const StepTotals& after) {
    record_.prefill = since(before.prefill, after.prefill);
    record_.decode = since(before.decode, after.decode);
    record_.mixed = since(before.mixed, after.mixed);
    record_.host_ns = after.host_ns - before.host_ns;
  }

  SystemUnderTest& system_;
  std::span<const WorkItem> items_;
  const RepetitionPlan& plan_;
  const MeasurementContext& context_;
  Repetition record_;
  std::vector<RequestSample> taken_;  ///< samples of this process; those of an earlier one are on disk
  std::vector<std::int32_t> asked_;
  std::optional<LoadStop> given_up_;  ///< why the load ended early
  std::int64_t n_abandoned_ = 0;      ///< requests that it gave up then
  std::vector<JournalLine> pending_;
};

}  // namespace

Result<void> probe_rate(SystemUnderTest& system, std::span<const WorkItem> items, const RepetitionPlan& plan,
                        const ProbePlan& probe, const MeasurementContext& context) {
  SS_CHECK(static_cast<std::size_t>(plan.scenario.n_requests) <= items.size(), "a request for each planned one");
  return Measurement(system, items, plan, context).run_probe(probe);
}

Result<void> measure_repetition(SystemUnderTest& system, std::span<const WorkItem> items, const RepetitionPlan& plan,
                                const MeasurementContext& context) {
  SS_CHECK(static_cast<std::size_t>(plan.scenario.n_requests) <= items.size(), "a request for each planned one");
  return Measurement(system, items, plan, context).run();
}

}  // namespace secondsource
