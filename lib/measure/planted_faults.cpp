#include "measure/planted_faults.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "host/host_state.h"
#include "measure/host_checks.h"
#include "measure/limit_checks.h"
#include "measure/request_checks.h"
#include "record/roofline.h"

namespace secondsource {
namespace {

using Samples = std::vector<RequestSample>;

std::int64_t scaled(std::int64_t ns, double factor) {
  return std::llround(static_cast<double>(ns) * factor);
}

/// The samples with a fault in them.
Samples with(const StoredRepetition& stored, const std::function<void(Samples&)>& plant) {
  Samples samples = stored.samples;
  plant(samples);
  return samples;
}

std::vector<std::int32_t> asked_of(const Samples& samples) {
  std::vector<std::int32_t> asked;
  for (const RequestSample& sample : samples) asked.push_back(sample.n_output_tokens);
  return asked;
}

void fail_one(Samples& samples) {
  samples.front().error = "planted";
}

void lose_a_token(Samples& samples) {
  --samples.front().n_output_tokens;
}

void run_clock_fast(Samples& samples) {
  for (RequestSample& sample : samples) {
    for (std::int64_t& gap : sample.itl_ns) gap = scaled(gap, 1 / 1.25);
  }
}

void send_late(Samples& samples) {
  const std::int64_t first_ns = std::ranges::min(samples, {}, &RequestSample::scheduled_ns).scheduled_ns;
  for (RequestSample& sample : samples) sample.sent_ns += (sample.scheduled_ns - first_ns) / 3;
}

void reuse_half(Samples& samples) {
  for (RequestSample& sample : samples) sample.n_cached_prompt_tokens = sample.n_prompt_tokens / 2;
}

void grow_queue(Samples& samples) {
  for (RequestSample& sample : samples) {
    if (sample.first_token_ns) *sample.first_token_ns += sample.scheduled_ns / 5;
  }
}

/// Stretches the gaps between tokens by 1.5 at the beginning of the repetition down to 1 at its end.
void warm_up_slowly(Samples& samples) {
  std::int64_t begin_ns = INT64_MAX;
  std::int64_t end_ns = 0;
  for (const RequestSample& sample : samples) {
    if (!sample.first_token_ns || !sample.last_token_ns) continue;
    begin_ns = std::min(begin_ns, *sample.first_token_ns);
    end_ns = std::max(end_ns, *sample.last_token_ns);
  }
  if (end_ns <= begin_ns) return;
  for (RequestSample& sample : samples) {
    if (!sample.first_token_ns) continue;
    std::int64_t at_ns = *sample.first_token_ns;
    for (std::int64_t& gap : sample.itl_ns) {
      at_ns += gap;
      const double passed = static_cast<double>(at_ns - begin_ns) / static_cast<double>(end_ns - begin_ns);
      gap = scaled(gap, 1.5 - 0.5 * std::clamp(passed, 0.0, 1.0));
    }
  }
}

/// The repetition with steps so short that they exceed a limit by a quarter.
CheckRecord judge_impossible_speed(const StoredRepetition& stored) {
  if (stored.limits == nullptr) return check_roofline(*stored.repetition, nullptr, stored.variant);
  Repetition fast = *stored.repetition;
  double highest = 0;
  const StepWork all = all_steps(fast);
  for (const StepWork* work : std::initializer_list<const StepWork*>{&fast.prefill, &fast.decode, &all}) {
    const RooflineUse use = roofline_use(*work, stored.limits->best, stored.variant);
    highest = std::max({highest, use.read.value_or(0), use.operations.value_or(0)});
  }
  if (highest > 0) {
    for (StepWork* work : {&fast.prefill, &fast.decode, &fast.mixed}) work->ns = scaled(work->ns, highest / 1.25);
  }
  return check_roofline(fast, stored.limits, stored.variant);
}

CheckRecord judge_slow_machine(const StoredRepetition& stored) {
  if (stored.limits == nullptr || stored.limits->best.reads.empty()) return check_machine({}, MachineLimits(), {});
  const ReadLimit& largest = stored.limits->best.reads.back();
  return check_machine({.read_bytes_per_s = largest.bytes_per_s / 2,
                        .f32_flops = stored.limits->best.f32_flops / 2,
                        .buffer_bytes = largest.buffer_bytes},
                       stored.limits->best, all_steps(*stored.repetition));
}

CheckRecord judge_costly_harness(const StoredRepetition& stored) {
  const Repetition& repetition = *stored.repetition;
  const auto window_ns = static_cast<double>(repetition.window_end_ns - repetition.window_start_ns);
  const auto n_requests = static_cast<std::int64_t>(stored.samples.size());
  return check_harness(
      repetition, n_requests,
      {.ns_per_request = 0.1 * window_ns / static_cast<double>(std::max<std::int64_t>(1, n_requests))});
}

/// The counters of this host as they are, and as they would be after ten seconds in which all its faults occurred.
std::vector<CheckRecord> judge_disturbed_host() {
  constexpr double kWallS = 10;
  HostState before = read_host_state(HostFiles(), usable_cpus());
  HostState after = before;
  if (after.cpu) {
    after.cpu->total += 1000;
    after.cpu->steal += 100;
  }
  if (after.scheduling) {
    after.scheduling->ran_s += 8;
    after.scheduling->waited_s += 2;
  }
  if (after.quota_waited_s) *after.quota_waited_s += 1;
  if (after.major_faults) *after.major_faults += 500;
  if (after.swapped_pages) *after.swapped_pages += 1;
  if (after.throttle_events) *after.throttle_events += 1;
  if (after.clock_settings && !after.clock_settings->empty()) after.clock_settings->front().second += " changed";
  std::vector<TelemetrySnapshot> telemetry;
  for (const double ghz : {1.0, 3.6, 3.6, 2.9, 3.6, 3.6}) {
    telemetry.push_back({0, {{"host_frequency_hz_max", 1e9 * ghz, ""}}});
  }
  return check_host(before, after, {kWallS}, telemetry, HostCheckLimits());
}

}  // namespace

std::vector<CheckRecord> judge_planted_faults(const StoredRepetition& stored) {
  std::vector<CheckRecord> checks;
  if (!stored.samples.empty()) {
    checks = {check_requests(with(stored, fail_one)),
              check_tokens(with(stored, lose_a_token), asked_of(stored.samples)),
              check_timestamps(with(stored, run_clock_fast)),
              check_rate(stored.scenario, with(stored, send_late)),
              check_queue(stored.scenario, with(stored, grow_queue)),
              check_prompt_cache(stored.scenario, with(stored, reuse_half)),
              check_warm_up(with(stored, warm_up_slowly), true)};
  }
  checks.push_back(check_compiled(1));
  checks.push_back(judge_impossible_speed(stored));
  checks.push_back(judge_slow_machine(stored));
  checks.push_back(judge_costly_harness(stored));
  std::ranges::move(judge_disturbed_host(), std::back_inserter(checks));
  return checks;
}

}  // namespace secondsource
