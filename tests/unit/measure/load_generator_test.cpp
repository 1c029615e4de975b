#include "measure/load_generator.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "core/clock.h"
#include "measure/repetition.h"
#include "support/milliseconds.h"
#include "support/result.h"
#include "systems/null_system.h"
#include "systems/overhead.h"
#include "unit/host/host_tree.h"

namespace secondsource {
namespace {

using test::kMs;

std::vector<TimedRequest> requests_of(std::int32_t count, std::int32_t n_output_tokens) {
  std::vector<TimedRequest> requests(static_cast<std::size_t>(count));
  for (std::int32_t index = 0; index < count; ++index) {
    requests[static_cast<std::size_t>(index)].tag = index;
    requests[static_cast<std::size_t>(index)].n_output_tokens = n_output_tokens;
  }
  return requests;
}

LoadResult load_of(NullSystem& system, const std::vector<TimedRequest>& requests, const LoadShape& shape) {
  const InterruptFlag never;
  ProgressCount progress{0};
  auto load = generate_load(system, requests, shape, never, progress);
  REQUIRE_OK(load);
  CHECK(progress.load() > 0);
  return *std::move(load);
}

TEST_CASE("what is measured of a scripted system is its script") {
  NullSystem system({.first_token_ns = 5 * kMs, .token_gap_ns = 2 * kMs});
  const LoadResult load = load_of(system, requests_of(3, 4), {.in_flight = 1});
  REQUIRE(load.requests.size() == 3);
  for (const ObservedRequest& request : load.requests) {
    const RequestSample sample = to_sample(request, load.start_ns);
    CHECK(sample.itl_ns == std::vector<std::int64_t>{2 * kMs, 2 * kMs, 2 * kMs});
    // The null system's schedule begins inside submit(), shortly after the request was sent.
    CHECK(*sample.ttft_e2e_ns() >= 5 * kMs);
    CHECK(*sample.ttft_e2e_ns() < 6 * kMs);
  }
}

TEST_CASE("a closed loop keeps its number in flight and no more") {
  NullSystem system({.first_token_ns = 2 * kMs, .token_gap_ns = 1 * kMs});
  const LoadResult load = load_of(system, requests_of(6, 3), {.in_flight = 2});
  std::vector<std::pair<std::int64_t, int>> changes;
  for (const ObservedRequest& request : load.requests) {
    changes.emplace_back(request.sent_ns, 1);
    changes.emplace_back(request.token_ns.back(), -1);
  }
  std::sort(changes.begin(), changes.end());
  int in_flight = 0;
  int most = 0;
  for (const auto& [at_ns, change] : changes) most = std::max(most, in_flight += change);
  CHECK(most == 2);
}

TEST_CASE("an open loop counts from the scheduled arrival: a slow system cannot slow its own load") {
  // One request at a time, 10 ms each, with an arrival every 2 ms: request i waits for i others.
  NullSystem system({.first_token_ns = 10 * kMs, .token_gap_ns = 0, .max_in_flight = 1});
  LoadShape shape;
  for (int index = 0; index < 5; ++index) shape.arrival_offsets_ns.push_back(index * 2 * kMs);
  const LoadResult load = load_of(system, requests_of(5, 1), shape);
  for (std::size_t index = 0; index < load.requests.size(); ++index) {
    CAPTURE(index);
    const auto n = static_cast<std::int64_t>(index);
    CHECK(load.requests[index].scheduled_ns - load.start_ns == n * 2 * kMs);
    const std::int64_t ttft_ns = load.requests[index].token_ns.front() - load.requests[index].scheduled_ns;
    // TTFT counts from the scheduled arrival. Counted from the actual sending, it could be 10 ms less for every earlier
    // request.
    CHECK(ttft_ns >= (10 * (n + 1) - 2 * n) * kMs);
  }
}

TEST_CASE("an interrupt ends a load") {
  NullSystem system({.first_token_ns = 1000 * kMs});
  InterruptFlag interrupt;
  interrupt.request();
  ProgressCount progress{0};
  CHECK_ERROR(generate_load(system, requests_of(1, 1), {.in_flight = 1}, interrupt, progress), ErrorCode::kInterrupted,
              "interrupted");
}

/// Collects the lines that a repetition keeps, one set of lines per call.
struct Kept {
  std::vector<std::vector<JournalLine>> units;
  KeepLines keep() {
    return [this](std::span<const JournalLine> lines) -> Result<void> {
      units.emplace_back(lines.begin(), lines.end());
      return {};
    };
  }
};

std::vector<WorkItem> items_of(std::int32_t count, std::int32_t n_output_tokens) {
  std::vector<WorkItem> items(static_cast<std::size_t>(count));
  const auto requests = requests_of(count, n_output_tokens);
  for (std::size_t index = 0; index < items.size(); ++index) items[index].request = requests[index];
  return items;
}

/// The null system with an injected fault.
class AlteredSystem final : public SystemUnderTest {
 public:
  using Alter = std::function<void(SystemEvents&)>;
  AlteredSystem(NullSchedule schedule, Alter alter) : inner_(schedule), alter_(std::move(alter)) {}
  [[nodiscard]] std::string name() const override { return "altered"; }
  [[nodiscard]] std::int32_t max_in_flight() const override { return inner_.max_in_flight(); }
  Result<void> submit(const TimedRequest& request) override {
    if (request.tag == stall_at_tag) std::this_thread::sleep_for(std::chrono::seconds(1));
    return inner_.submit(request);
  }
  Result<void> poll(std::int64_t until_ns, SystemEvents& events) override {
    std::this_thread::sleep_for(poll_delay);
    SS_TRY_VOID(inner_.poll(until_ns, events));
    // Like a real system, stamps the time when the token is known, not the scheduled time.
    if (!keeps_scheduled_times) {
      for (SystemToken& token : events.tokens) token.at_ns = now_ns();
    }
    alter_(events);
    return {};
  }
  Result<void> abandon() override { return inner_.abandon(); }
  [[nodiscard]] MemoryUse memory() const override { return {}; }
  [[nodiscard]] StepTotals step_totals() const override {
    StepTotals totals;
    totals.n_compiled = n_asked_++ * n_compiled_each_time;
    return totals;
  }
  std::int64_t stall_at_tag = -1;
  std::int64_t n_compiled_each_time = 0;
  std::chrono::milliseconds poll_delay{0};
  bool keeps_scheduled_times = false;

 private:
  NullSystem inner_;
  Alter alter_;
  mutable std::int64_t n_asked_ = 0;
};

/// The load of a closed loop with two requests in flight, whose polls are so late that each reports several ends and tokens.
LoadResult load_with_late_polls(const std::vector<TimedRequest>& requests) {
  AlteredSystem system({.first_token_ns = 1 * kMs, .token_gap_ns = 1 * kMs}, [](SystemEvents&) {});
  system.poll_delay = std::chrono::milliseconds(20);
  system.keeps_scheduled_times = true;
  const InterruptFlag never;
  ProgressCount progress{0};
  auto load = generate_load(system, requests, {.in_flight = 2}, never, progress);
  REQUIRE_OK(load);
  REQUIRE(load->requests.size() == requests.size());
  return *std::move(load);
}

TEST_CASE("a load is full until the request that leaves its place empty ends, whatever else the same poll brings") {
  std::vector<TimedRequest> requests = requests_of(2, 1);
  requests[1].n_output_tokens = 4;
  const LoadResult load = load_with_late_polls(requests);
  CHECK(load.requests[0].token_ns.back() < load.requests[1].token_ns.back());
  CHECK(load.full_until_ns == load.requests[0].token_ns.back());
}

TEST_CASE("of two places that become free together with one request left to begin, the later one stays empty") {
  std::vector<TimedRequest> requests = requests_of(3, 3);
  requests[1].n_output_tokens = 5;
  requests[2].n_output_tokens = 40;
  const LoadResult load = load_with_late_polls(requests);
  CHECK(load.requests[2].sent_ns > load.requests[1].token_ns.back());  // one poll reported both ends
  CHECK(load.full_until_ns == load.requests[1].token_ns.back());
}

/// Returns the names of the checks that are invalid for a repetition of `n_requests` in an open loop of 20 requests/s
/// on an undisturbed host.
std::vector<std::string> invalid_checks(SystemUnderTest& system, std::int32_t n_requests = 24) {
  const test::HostTree host;
  write_quiet_host(host);
  Kept kept;
  const InterruptFlag never;
  ProgressCount progress{0};
  RepetitionPlan plan;
  plan.cell = "b/s/v/server-r20";
  plan.scenario = {.kind = ScenarioKind::kServer, .rate_per_s = 20, .n_requests = n_requests, .n_output_tokens = 6};
  MeasurementContext context{.interrupt = never, .progress = progress, .keep = kept.keep(), .host = host.files()};
  REQUIRE_OK(measure_repetition(system, items_of(n_requests, 6), plan, context));
  std::int64_t latest_ns = 0;
  for (const JournalLine& line : kept.units[0]) {
    const auto* sample = std::get_if<RequestSample>(&line);
    if (sample != nullptr) latest_ns = std::max(latest_ns, sample->sent_ns - sample->scheduled_ns);
  }
  std::vector<std::string> names;
  for (const CheckRecord& check : std::get<Repetition>(kept.units[0].back()).checks) {
    // Load on the machine may delay this test too, but the delay that it tests for is a whole second.
    const bool by_chance = check.name == "rate" && latest_ns > 100 * kMs && latest_ns < 900 * kMs;
    if (check.outcome == CheckOutcome::kInvalid && !by_chance) names.push_back(check.name);
  }
  return names;
}

TEST_CASE("faults of a system that is really driven fire the check that is there for each, and no fault fires none") {
  constexpr NullSchedule kSchedule{.first_token_ns = 4 * kMs, .token_gap_ns = 2 * kMs};
  const auto nothing = [](SystemEvents&) {};
  AlteredSystem sound(kSchedule, nothing);
  CHECK(invalid_checks(sound).empty());

  bool dropped = false;
  AlteredSystem loses_a_token(kSchedule, [&](SystemEvents& events) {
    if (dropped || events.tokens.empty()) return;
    events.tokens.pop_back();
    dropped = true;
  });
  CHECK(invalid_checks(loses_a_token) == std::vector<std::string>{"tokens"});

  // The system's clock runs at half the speed of the load generator's.
  const std::int64_t began_ns = now_ns();
  AlteredSystem slow_clock(kSchedule, [&](SystemEvents& events) {
    for (SystemToken& token : events.tokens) token.at_ns = began_ns + (token.at_ns - began_ns) / 2;
  });
  CHECK(invalid_checks(slow_clock) == std::vector<std::string>{"timestamps"});

  AlteredSystem compiles(kSchedule, nothing);
  compiles.n_compiled_each_time = 3;
  CHECK(invalid_checks(compiles) == std::vector<std::string>{"compiled"});

  // The load generator is delayed by a second before the last requests: 24 requests take 2.2 s instead of 1.2.
  AlteredSystem stalls(kSchedule, nothing);
  stalls.stall_at_tag = 22;
  const std::vector<std::string> of_a_stall = invalid_checks(stalls);
  CHECK(std::find(of_a_stall.begin(), of_a_stall.end(), "rate") != of_a_stall.end());

  // One request at a time, 150 ms each, at 20 requests per second.
  AlteredSystem saturated({.first_token_ns = 140 * kMs, .token_gap_ns = 2 * kMs, .max_in_flight = 1}, nothing);
  CHECK(invalid_checks(saturated) == std::vector<std::string>{"queue"});
}

TEST_CASE("a load whose requests fail is given up after twenty of them, and the rest is not sent") {
  AlteredSystem failing({}, [](SystemEvents& events) {
    for (RequestEnd& end : events.ends) end.error = "planted";
  });
  std::vector<TimedRequest> requests(100);
  for (std::size_t index = 0; index < requests.size(); ++index) {
    requests[index].tag = static_cast<std::int64_t>(index);
    requests[index].n_output_tokens = 2;
  }
  const InterruptFlag never;
  ProgressCount progress{0};
  const auto load = generate_load(failing, requests, {.in_flight = 1, .stop = {}}, never, progress);
  REQUIRE_OK(load);
  REQUIRE(load->stopped);
  CHECK(load->stopped->verdict == ProbeVerdict::kErrors);
  CHECK(load->stopped->why == "20 of 20 requests failed");
  CHECK(load->requests.size() == 20);
}

RepetitionPlan single_stream(std::int32_t n_requests, std::int32_t n_output_tokens) {
  RepetitionPlan plan;
  plan.cell = "b/s/v/single-stream";
  plan.scenario = {.kind = ScenarioKind::kSingleStream, .n_requests = n_requests, .n_output_tokens = n_output_tokens};
  return plan;
}

/// Measures the repetition and returns the units that were kept, the last of which is the repetition itself.
std::vector<std::vector<JournalLine>> kept_of(SystemUnderTest& system, const RepetitionPlan& plan) {
  Kept kept;
  const InterruptFlag never;
  ProgressCount progress{0};
  const auto items = items_of(plan.scenario.n_requests, plan.scenario.n_output_tokens);
  REQUIRE_OK(measure_repetition(system, items, plan, {.interrupt = never, .progress = progress, .keep = kept.keep()}));
  return std::move(kept.units);
}

TEST_CASE("single-stream keeps each request as it ends, on one clock without the pauses") {
  NullSystem system({.first_token_ns = 3 * kMs, .token_gap_ns = 1 * kMs, .end_delay_ns = 20 * kMs});
  RepetitionPlan plan = single_stream(4, 3);
  // Two requests were measured before an interruption, and ended at 11 ms.
  plan.n_done = 2;
  plan.clock_ns = 11 * kMs;
  plan.n_done_tokens = 6;
  const auto units = kept_of(system, plan);
  REQUIRE(units.size() == 3);
  const auto& first = std::get<RequestSample>(units[0].front());
  const auto& second = std::get<RequestSample>(units[1].front());
  CHECK(first.request == 2);
  CHECK(first.sent_ns == 11 * kMs);
  CHECK(second.request == 3);
  // The second request had to wait for the end of the first, 20 ms after its last token.
  CHECK(second.sent_ns >= *first.last_token_ns + 20 * kMs);
  const auto& end = std::get<Repetition>(units[2].front());
  CHECK(end.window_output_tokens == 12);
  CHECK(end.window_end_ns >= *second.last_token_ns + 20 * kMs);
  for (const CheckRecord& check : end.checks) {
    CAPTURE(check.name, check.detail);
    if (check.name == "requests" || check.name == "tokens") CHECK(check.outcome == CheckOutcome::kPassed);
  }
}

TEST_CASE("single-stream spends its time budget on ends of streams and on requests that fail") {
  for (const bool fails : {false, true}) {
    CAPTURE(fails);
    AlteredSystem system({.first_token_ns = 1 * kMs, .end_delay_ns = 40 * kMs}, [&](SystemEvents& events) {
      if (!fails) return;
      events.tokens.clear();
      for (RequestEnd& end : events.ends) end.error = "planted";
    });
    RepetitionPlan plan = single_stream(30, 1);
    plan.time_budget_ns = 100 * kMs;
    const std::size_t n_requests = kept_of(system, plan).size() - 1;
    CHECK(n_requests >= 1);
    CHECK(n_requests <= 3);  // each takes at least 41 ms
  }
}

TEST_CASE("single-stream is given up after twenty failed requests, and says what the system said") {
  AlteredSystem failing({}, [](SystemEvents& events) {
    for (RequestEnd& end : events.ends) end.error = "planted";
  });
  const auto units = kept_of(failing, single_stream(100, 2));
  REQUIRE(units.size() == 21);  // twenty requests and the repetition
  const auto& end = std::get<Repetition>(units.back().front());
  const auto check = std::ranges::find(end.checks, std::string("requests"), &CheckRecord::name);
  REQUIRE(check != end.checks.end());
  CHECK(check->outcome == CheckOutcome::kInvalid);
  CHECK(check->detail == "errors: 20 of 20 failed; the first, 0: planted");
}

TEST_CASE("a cancelled request ends with its last wanted token, and its slot is free for the next one") {
  NullSystem system({.first_token_ns = 2 * kMs, .token_gap_ns = 2 * kMs, .max_in_flight = 2});
  std::vector<TimedRequest> requests = requests_of(6, 20);
  for (const std::size_t index : {0U, 3U}) requests[index].cancel_after = 4;
  const LoadResult load = load_of(system, requests, {.in_flight = 2});
  REQUIRE(load.requests.size() == 6);
  for (const ObservedRequest& request : load.requests) {
    CAPTURE(request.tag);
    const bool is_cancelled = request.tag == 0 || request.tag == 3;
    CHECK(request.end->finish == (is_cancelled ? RequestFinish::kCancelled : RequestFinish::kLength));
    CHECK(request.end->error.empty());
    if (is_cancelled) {
      CHECK(request.token_ids.size() >= 4);
      CHECK(request.token_ids.size() < 20);
      CHECK_FALSE(to_sample(request, load.start_ns).e2e_ns());
    } else {
      CHECK(request.token_ids.size() == 20);
      CHECK(to_sample(request, load.start_ns).e2e_ns());
    }
  }
  // Four whole requests and two short ones over two slots take (4 x 40 + 2 x 8) / 2 ms, not 120 ms.
  CHECK(load.end_ns - load.start_ns < 112 * kMs);
}

TEST_CASE("a request that ends before it would be cancelled has ended, in one poll with its tokens as well") {
  NullSystem system;  // every token is there at once
  std::vector<TimedRequest> requests = requests_of(3, 1);
  for (TimedRequest& request : requests) request.cancel_after = 1;
  const LoadResult load = load_of(system, requests, {.in_flight = 3});
  REQUIRE(load.requests.size() == 3);
  for (const ObservedRequest& request : load.requests) CHECK(request.end->finish == RequestFinish::kLength);
}

TEST_CASE("an offline repetition is one unit: all samples and its closing line together") {
  NullSystem system({.first_token_ns = 1 * kMs, .token_gap_ns = 1 * kMs});
  Kept kept;
  const InterruptFlag never;
  ProgressCount progress{0};
  RepetitionPlan plan;
  plan.cell = "b/s/v/offline-b4";
  plan.scenario = {.kind = ScenarioKind::kOffline, .batch = 4, .n_requests = 8, .n_output_tokens = 3};
  plan.warm_up = WarmUpRule{.tolerance = 1e9};
  REQUIRE_OK(measure_repetition(system, items_of(8, 3), plan,
                                {.interrupt = never, .progress = progress, .keep = kept.keep()}));
  REQUIRE(kept.units.size() == 1);
  REQUIRE(kept.units[0].size() == 9);
  const auto& end = std::get<Repetition>(kept.units[0].back());
  CHECK(end.warmup_windows == 3);
  CHECK(end.warmup_settled);
  CHECK(end.window_output_tokens > 0);
  CHECK(end.host_memory.peak_rss_bytes > 0);
}

TEST_CASE("the harness costs well under a tenth of a percent of a millisecond a token") {
  const auto overhead = measure_harness_overhead();
  REQUIRE_OK(overhead);
  // 1 us is 0.1 % of a token that takes 1 ms. The bounds allow ten times that for debug builds and busy machines.
  CHECK(overhead->ns_per_poll + overhead->ns_per_token < 10'000);
  CHECK(overhead->ns_per_request < 100'000);
}

}  // namespace
}  // namespace secondsource
