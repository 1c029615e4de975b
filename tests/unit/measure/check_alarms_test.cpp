// Tests that alarms are counted by check, and that a fault planted in a stored repetition is found by its check.

#include "measure/check_alarms.h"

#include "measure/planted_faults.h"
#include "support/catch.h"
#include "support/milliseconds.h"

namespace secondsource {
namespace {

using test::kMs;

/// 20 requests at 10 per second, each with its first token after 20 ms and 10 more tokens 8 ms apart.
std::vector<RequestSample> steady_samples(const std::string& cell) {
  std::vector<RequestSample> samples(20);
  for (std::size_t index = 0; index < samples.size(); ++index) {
    RequestSample& sample = samples[index];
    sample.cell = cell;
    sample.request = static_cast<std::int32_t>(index);
    sample.scheduled_ns = static_cast<std::int64_t>(index) * 100 * kMs;
    sample.sent_ns = sample.scheduled_ns + 10'000;
    sample.first_token_ns = sample.sent_ns + 20 * kMs;
    sample.itl_ns.assign(10, 8 * kMs);
    sample.n_prompt_tokens = 16;
    sample.n_output_tokens = 11;
    sample.engine_tokens = 11;
    sample.last_token_ns = *sample.first_token_ns + 80 * kMs;
    sample.first_received_ns = *sample.first_token_ns + 20'000;
    sample.last_received_ns = *sample.last_token_ns + 30'000;
    sample.finish = RequestFinish::kLength;
  }
  return samples;
}

MachineLimits limits() {
  MachineLimits limits;
  limits.n_threads = 2;
  limits.reads = {{1 << 20, 100e9}, {128 << 20, 12e9}};
  limits.f32_flops = 120e9;
  return limits;
}

RunRecord record() {
  RunRecord record;
  PlannedCell cell;
  cell.key = {"tiny", "cpu", "bf16", "server-r10"};
  cell.scenario = {.kind = ScenarioKind::kServer, .rate_per_s = 10, .n_requests = 20, .n_output_tokens = 11};
  record.cells = {cell};
  BackendRecord backend;
  backend.name = "cpu";
  backend.device.is_host = true;
  record.backends = {backend};
  record.limits = limits();
  record.second_limits = limits();
  return record;
}

Repetition repetition_of(const RunRecord& record, std::vector<CheckRecord> checks) {
  Repetition repetition;
  repetition.cell = record.cells[0].key.id();
  repetition.window_end_ns = 2'000 * kMs;
  repetition.window_output_tokens = 220;
  repetition.decode = {
      .n_steps = 200, .tokens = 200, .ns = 1'600 * kMs, .flops = 9e9, .weight_bytes = 8e9, .kv_bytes = 0};
  repetition.checks = std::move(checks);
  return repetition;
}

}  // namespace

TEST_CASE("each fault that is planted in a stored repetition is found by its check") {
  const RunRecord run = record();
  const Repetition repetition = repetition_of(run, {});
  const LimitLooks looks{.best = limits(), .second = limits()};
  const StoredRepetition stored{.repetition = &repetition,
                                .samples = steady_samples(repetition.cell),
                                .scenario = run.cells[0].scenario,
                                .variant = "bf16",
                                .limits = &looks};
  std::vector<std::string> silent, found;
  for (const CheckRecord& check : judge_planted_faults(stored)) {
    if (check.outcome == CheckOutcome::kNotAvailable) continue;
    const bool is_alarm = check.outcome == CheckOutcome::kSuspect || check.outcome == CheckOutcome::kInvalid;
    (is_alarm ? found : silent).push_back(check.name);
  }
  CHECK(silent.empty());
  for (const char* const name : {"requests", "tokens", "timestamps", "rate", "queue", "prompt_cache", "warm_up",
                                 "compiled", "roofline", "machine", "harness", "frequency"}) {
    CAPTURE(name);
    CHECK(std::ranges::count(found, name) == 1);
  }
}

TEST_CASE("alarms are counted over repetitions with right tokens") {
  const RunRecord run = record();
  std::vector<JournalLine> lines;
  for (RequestSample& sample : steady_samples(run.cells[0].key.id())) lines.emplace_back(sample);
  lines.emplace_back(
      repetition_of(run, {{"steal", CheckOutcome::kSuspect, ""}, {"warm_up", CheckOutcome::kPassed, ""}}));
  CheckAlarms alarms;
  count_alarms(run, lines, alarms);
  CHECK(alarms.n_repetitions == 1);
  CHECK(alarms.n_invalid == 0);
  CHECK(alarms.checks["steal"].n_suspect == 1);
  CHECK(alarms.checks["steal"].n_judged == 1);
  CHECK(alarms.checks["warm_up"].n_judged == 1);
  CHECK(alarms.checks["warm_up"].n_found == 1);

  std::get<Repetition>(lines.back()).checks = {{"roofline", CheckOutcome::kInvalid, ""},
                                               {"queue", CheckOutcome::kInvalid, ""},
                                               {"swap", CheckOutcome::kNotAvailable, ""}};
  count_alarms(run, lines, alarms);
  CHECK(alarms.n_repetitions == 2);
  CHECK(alarms.n_invalid == 1);
  CHECK(alarms.checks["queue"].n_invalid == 1);
  CHECK(alarms.checks["swap"].n_judged == 0);

  // A repetition with a wrong token is no right measurement, and an alarm on it is not a false one.
  std::get<RequestSample>(lines.front()).wrong_at = 3;
  count_alarms(run, lines, alarms);
  CHECK(alarms.n_repetitions == 2);
}

}  // namespace secondsource
