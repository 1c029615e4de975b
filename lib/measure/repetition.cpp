#include "measure/repetition.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/clock.h"
#include "measure/arrivals.h"
#include "measure/host_usage.h"
#include "measure/steady_window.h"
#include "measure/timed_verdict.h"

namespace secondsource {
namespace {

// Output tokens of a warm-up request: enough to be steady by, few enough not to cost as much as the measurement.
constexpr std::int32_t kWarmUpTokens = 16;

StepWork since(const StepWork& before, const StepWork& after) {
  return {.n_steps = after.n_steps - before.n_steps,
          .tokens = after.tokens - before.tokens,
          .ns = after.ns - before.ns,
          .flops = after.flops - before.flops,
          .weight_bytes = after.weight_bytes - before.weight_bytes,
          .kv_bytes = after.kv_bytes - before.kv_bytes};
}

class Measurement {
 public:
  Measurement(SystemUnderTest& system, std::span<const WorkItem> items, const RepetitionPlan& plan,
              const MeasurementContext& context)
      : system_(system), items_(items), plan_(plan), context_(context) {}

  Result<void> run() {
    record_.cell = plan_.cell;
    record_.repetition = plan_.repetition;
    SS_TRY_VOID(warm_up());
    reset_peak_rss();
    if (context_.telemetry != nullptr) (void)context_.telemetry->take();
    const HostUsage before = read_host_usage(files_);
    const StepTotals steps_before = system_.step_totals();
    const std::int64_t started_ns = now_ns();
    const bool single = plan_.scenario.kind == ScenarioKind::kSingleStream;
    SS_TRY_VOID(single ? measure_one_by_one() : measure_together());
    record_.wall_s = 1e-9 * static_cast<double>(now_ns() - started_ns);
    note_usage(before, read_host_usage(files_));
    note_steps(steps_before, system_.step_totals());
    record_.memory = system_.memory();
    if (const auto peak = peak_rss_bytes(files_)) record_.host_memory.peak_rss_bytes = *peak;
    if (context_.telemetry != nullptr) record_.telemetry = summarize_telemetry(context_.telemetry->take());
    std::vector<JournalLine> lines(std::make_move_iterator(pending_.begin()), std::make_move_iterator(pending_.end()));
    lines.emplace_back(std::move(record_));
    return context_.keep(lines);
  }

 private:
  /// Windows of the scenario's own kind of work: always the same requests, so that windows can be compared.
  Result<void> warm_up() {
    if (!plan_.warm_up) return {};
    const std::size_t n_requests = plan_.scenario.kind == ScenarioKind::kOffline
                                       ? std::min(items_.size(), static_cast<std::size_t>(plan_.scenario.batch))
                                       : 1;
    std::vector<TimedRequest> requests;
    for (std::size_t index = 0; index < n_requests; ++index) {
      requests.push_back(items_[index].request);
      requests.back().n_output_tokens = std::min(requests.back().n_output_tokens, kWarmUpTokens);
    }
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
    return {};
  }

  Result<void> measure_one_by_one() {
    std::int64_t clock_ns = plan_.clock_ns;
    record_.window_start_ns = 0;
    record_.window_output_tokens = plan_.n_done_tokens;
    std::int64_t spent_ns = 0;
    for (std::int32_t index = plan_.n_done; index < plan_.scenario.n_requests; ++index) {
      if (plan_.time_budget_ns > 0 && spent_ns >= plan_.time_budget_ns && index > 0) break;
      const TimedRequest& request = items_[static_cast<std::size_t>(index)].request;
      SS_TRY(const LoadResult load,
             generate_load(system_, std::span(&request, 1), {.in_flight = 1}, context_.interrupt, context_.progress));
      const SteadyWindow window = steady_window(ScenarioKind::kSingleStream, load);
      // The sample's times go on where those of the one before it ended.
      add_sample(load.requests.front(), index, window.start_ns - clock_ns);
      clock_ns += window.end_ns - window.start_ns;
      spent_ns += window.end_ns - window.start_ns;
      record_.window_output_tokens += window.n_output_tokens;
      SS_TRY_VOID(context_.keep(std::span(pending_)));
      pending_.clear();
    }
    record_.window_end_ns = clock_ns;
    return {};
  }

  Result<void> measure_together() {
    const auto n_requests = static_cast<std::size_t>(plan_.scenario.n_requests);
    std::vector<TimedRequest> requests;
    for (const WorkItem& item : items_.first(n_requests)) requests.push_back(item.request);
    LoadShape shape;
    shape.in_flight = plan_.scenario.batch;
    if (plan_.scenario.kind == ScenarioKind::kServer) {
      shape.arrival_offsets_ns =
          arrival_offsets_ns({.rate_per_s = plan_.scenario.rate_per_s,
                              .n_requests = plan_.scenario.n_requests,
                              .seed = plan_.seed + static_cast<std::uint64_t>(plan_.repetition)});
    }
    SS_TRY(const LoadResult load, generate_load(system_, requests, shape, context_.interrupt, context_.progress));
    const SteadyWindow window = steady_window(plan_.scenario.kind, load);
    record_.window_start_ns = window.start_ns - load.start_ns;
    record_.window_end_ns = window.end_ns - load.start_ns;
    record_.window_output_tokens = window.n_output_tokens;
    for (std::size_t index = 0; index < load.requests.size(); ++index) {
      add_sample(load.requests[index], static_cast<std::int32_t>(index), load.start_ns);
    }
    return {};
  }

  void add_sample(const ObservedRequest& observed, std::int32_t index, std::int64_t origin_ns) {
    const WorkItem& item = items_[static_cast<std::size_t>(index)];
    RequestSample sample = to_sample(observed, origin_ns);
    sample.cell = plan_.cell;
    sample.repetition = plan_.repetition;
    sample.request = index;
    sample.prompt = item.prompt;
    if (item.expected != nullptr && sample.error.empty()) {
      const TimedVerdict verdict = judge_timed_tokens(observed.token_ids, *item.expected, item.near_tie_tau);
      sample.verified_tokens = verdict.verified_tokens;
      sample.near_tie_at = verdict.near_tie_at;
      sample.wrong_at = verdict.wrong_at;
    }
    if (!sample.error.empty()) {
      record_.checks.push_back(
          {"requests", CheckOutcome::kInvalid, fmt::format("request {}: {}", index, sample.error)});
    } else if (sample.n_output_tokens != item.request.n_output_tokens) {
      record_.checks.push_back({"tokens", CheckOutcome::kInvalid,
                                fmt::format("request {}: expected {} output tokens, found {}", index,
                                            item.request.n_output_tokens, sample.n_output_tokens)});
    }
    pending_.emplace_back(std::move(sample));
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
  HostFiles files_;
  Repetition record_;
  std::vector<JournalLine> pending_;
};

}  // namespace

Result<void> measure_repetition(SystemUnderTest& system, std::span<const WorkItem> items, const RepetitionPlan& plan,
                                const MeasurementContext& context) {
  SS_CHECK(static_cast<std::size_t>(plan.scenario.n_requests) <= items.size(), "a request for each planned one");
  return Measurement(system, items, plan, context).run();
}

}  // namespace secondsource
