// Tests every check of docs/checks.md: a clean measurement triggers none, and each injected fault triggers exactly the
// check for it.

#include <functional>

#include "measure/host_checks.h"
#include "measure/limit_checks.h"
#include "measure/request_checks.h"
#include "support/catch.h"
#include "support/milliseconds.h"
#include "unit/host/host_tree.h"

namespace secondsource {
namespace {

using enum CheckOutcome;
using test::HostTree;
using test::write_quiet_host;

using test::kMs;

/// Returns "name: outcome" of all checks that were neither passed nor unavailable.
std::vector<std::string> fired(const std::vector<CheckRecord>& checks) {
  std::vector<std::string> names;
  for (const CheckRecord& check : checks) {
    if (check.outcome == kPassed || check.outcome == kNotAvailable) continue;
    names.push_back(check.name + ": " + std::string(to_string(check.outcome)));
  }
  return names;
}

// --- Requests -----------------------------------------------------------------------------------------------------

/// An open loop of 40 requests at 10 per second. Each gets its first token after 30 ms, and 8 tokens 5 ms apart.
std::vector<RequestSample> steady_load() {
  std::vector<RequestSample> samples(40);
  for (std::size_t index = 0; index < samples.size(); ++index) {
    RequestSample& sample = samples[index];
    sample.request = static_cast<std::int32_t>(index);
    sample.scheduled_ns = static_cast<std::int64_t>(index) * 100 * kMs;
    sample.sent_ns = sample.scheduled_ns + kMs / 10;
    sample.first_token_ns = sample.sent_ns + 30 * kMs;
    sample.n_prompt_tokens = 16;
    sample.n_output_tokens = 8;
    // Small variations, the same for every request.
    for (const std::int64_t extra_us : {0, 20, -20, 10, -10, 5, -5}) sample.itl_ns.push_back(5 * kMs + extra_us * 1000);
    sample.last_token_ns = *sample.first_token_ns + 35 * kMs;
    sample.first_received_ns = *sample.first_token_ns + 20'000;
    sample.last_received_ns = *sample.last_token_ns + 30'000;
    sample.engine_tokens = 8;
    sample.n_cached_prompt_tokens = 0;
    sample.finish = RequestFinish::kLength;
  }
  return samples;
}

const Scenario kOpenLoop{.kind = ScenarioKind::kServer, .rate_per_s = 10, .n_requests = 40, .n_output_tokens = 8};

std::vector<CheckRecord> request_checks(const std::vector<RequestSample>& samples, bool settled = true,
                                        std::int64_t n_compiled = 0) {
  const std::vector<std::int32_t> asked(samples.size(), 8);
  return {check_requests(samples),         check_tokens(samples, asked),    check_timestamps(samples),
          check_rate(kOpenLoop, samples),  check_queue(kOpenLoop, samples), check_prompt_cache(kOpenLoop, samples),
          check_warm_up(samples, settled), check_compiled(n_compiled)};
}

/// Multiplies the gaps of request i by factor(i) and recomputes what depends on them.
void stretch(std::vector<RequestSample>& samples, const std::function<double(std::size_t)>& factor) {
  for (std::size_t index = 0; index < samples.size(); ++index) {
    RequestSample& sample = samples[index];
    std::int64_t sum = 0;
    for (std::int64_t& gap : sample.itl_ns) {
      gap = static_cast<std::int64_t>(static_cast<double>(gap) * factor(index));
      sum += gap;
    }
    sample.last_token_ns = *sample.first_token_ns + sum;
    sample.last_received_ns = *sample.last_token_ns + 30'000;
  }
}

TEST_CASE("a steady load fires no check of its requests") {
  const std::vector<CheckRecord> checks = request_checks(steady_load());
  CHECK(fired(checks).empty());
  for (const CheckRecord& check : checks) {
    CAPTURE(check.name, check.detail);
    CHECK(check.outcome == kPassed);
  }
}

TEST_CASE("each fault that is planted in the requests fires the one check that is there for it") {
  struct Fault {
    const char* what;
    std::function<void(std::vector<RequestSample>&)> plant;
    const char* expected;
  };
  const Fault faults[] = {
      {"prompts that were in a cache", [](auto& samples) { samples[3].n_cached_prompt_tokens = 15; },
       "prompt_cache: suspect"},
      {"a request that failed",
       [](auto& samples) {
         samples[3].error = "finished early: stop";
         samples[3].finish = RequestFinish::kError;
       },
       "requests: invalid"},
      {"a token too few",
       [](auto& samples) {
         samples[7].n_output_tokens = 7;
         samples[7].engine_tokens = 7;
       },
       "tokens: invalid"},
      {"a token that the system counts and that never arrived", [](auto& samples) { samples[7].engine_tokens = 9; },
       "tokens: invalid"},
      {"a system whose clock runs 5 % fast",
       [](auto& samples) {
         for (RequestSample& sample : samples) {
           std::int64_t sum = 0;
           for (std::int64_t& gap : sample.itl_ns) sum += gap = gap * 105 / 100;
           // The clock of the load generator is correct: its receive times span 35 ms, as without the fault.
           sample.last_token_ns = *sample.first_token_ns + sum;
           sample.last_received_ns = std::max(*sample.last_token_ns, *sample.first_token_ns + 35 * kMs);
           sample.first_received_ns = *sample.last_received_ns - 35 * kMs;
         }
       },
       "timestamps: invalid"},
      {"tokens of a multi-token step that were given one time each",
       [](auto& samples) {
         for (RequestSample& sample : samples) sample.itl_ns.assign(7, kMs);
       },
       "timestamps: invalid"},
      {"a token before the one that it follows", [](auto& samples) { samples[0].itl_ns[2] = -1; },
       "timestamps: invalid"},
      {"a token received before it was made",
       [](auto& samples) { samples[0].first_received_ns = *samples[0].first_token_ns - 1; }, "timestamps: invalid"},
      {"a load generator that sends only 3 of 4 a second",
       [](auto& samples) {
         for (RequestSample& sample : samples) {
           const std::int64_t late_ns = sample.scheduled_ns / 3;
           sample.sent_ns += late_ns;
           // First tokens are in time despite late sending where the fast system allows it, so that mainly the rate
           // is wrong.
           sample.first_token_ns = std::max(*sample.first_token_ns, sample.sent_ns);
           sample.first_received_ns = *sample.first_token_ns + 20'000;
           sample.last_token_ns = *sample.first_token_ns + 35 * kMs;
           sample.last_received_ns = *sample.last_token_ns + 30'000;
         }
       },
       "rate: invalid"},
      {"a queue that grows by 0.2 s per second",
       [](auto& samples) {
         for (RequestSample& sample : samples) {
           const std::int64_t wait_ns = sample.scheduled_ns / 5;
           *sample.first_token_ns += wait_ns;
           *sample.last_token_ns += wait_ns;
           *sample.first_received_ns += wait_ns;
           *sample.last_received_ns += wait_ns;
         }
       },
       "queue: invalid"},
      {"a machine that warms up over the whole repetition",
       [](auto& samples) { stretch(samples, [](std::size_t i) { return 1.5 - 0.5 * static_cast<double>(i) / 39; }); },
       "warm_up: invalid"},
      {"the machine slows down",
       [](auto& samples) { stretch(samples, [](std::size_t i) { return 1 + 0.5 * static_cast<double>(i) / 39; }); },
       "warm_up: suspect"},
  };
  for (const Fault& fault : faults) {
    CAPTURE(fault.what);
    std::vector<RequestSample> samples = steady_load();
    fault.plant(samples);
    std::vector<std::string> names = fired(request_checks(samples));
    // Late sending delays first tokens, so that a missed rate may trigger the check of the queue too.
    if (std::string(fault.expected).starts_with("rate")) std::erase(names, "queue: invalid");
    CHECK(names == std::vector<std::string>{fault.expected});
  }
  CHECK(fired(request_checks(steady_load(), false)).empty());
  CHECK(check_warm_up(steady_load(), false).detail.starts_with("the warm-up did not settle; "));
  CHECK(fired(request_checks(steady_load(), true, 2)) == std::vector<std::string>{"compiled: invalid"});
}

TEST_CASE("noise without a direction is no trend, and a step in the middle is not one either") {
  std::vector<RequestSample> samples = steady_load();
  stretch(samples, [](std::size_t i) { return i % 3 == 0 ? 1.8 : 1.0; });
  CHECK(check_warm_up(samples, true).outcome == kPassed);
}

TEST_CASE("a load generator that lost its CPU at most tokens is no wrong clock") {
  std::vector<RequestSample> samples = steady_load();
  // In seven of eight requests, the first or the last token is recorded 4 ms late, after a time slice of another process.
  for (std::size_t index = 0; index < samples.size(); ++index) {
    if (index % 8 == 0) continue;
    *(index % 2 == 0 ? samples[index].first_received_ns : samples[index].last_received_ns) += 4 * kMs;
  }
  CHECK(check_timestamps(samples).outcome == kPassed);
}

TEST_CASE("what one late reading explains is suspect of few readings, and a larger difference is invalid") {
  // The last token comes 35 ms after the first, so that the clocks may differ by about 0.45 ms.
  const auto judged = [](std::size_t n_requests, std::int64_t first_late_ns, std::int64_t last_late_ns) {
    std::vector<RequestSample> samples = steady_load();
    samples.resize(n_requests);
    for (RequestSample& sample : samples) {
      sample.first_received_ns = *sample.first_token_ns + first_late_ns;
      sample.last_received_ns = *sample.last_token_ns + last_late_ns;
    }
    return check_timestamps(samples);
  };
  for (const std::size_t n_requests : {1, 2, 3, 9}) {
    CAPTURE(n_requests);
    CHECK(judged(n_requests, 0, 0).outcome == kPassed);
    CHECK(judged(n_requests, 0, 400'000).outcome == kPassed);
    CHECK(judged(n_requests, 0, 500'000).outcome == kSuspect);
    CHECK(judged(n_requests, 0, kLateReadingNs).outcome == kSuspect);
    CHECK(judged(n_requests, 0, kLateReadingNs + 600'000).outcome == kInvalid);
    CHECK(judged(n_requests, 500'000, 0).outcome == kSuspect);
    CHECK(judged(n_requests, kLateReadingNs, 0).outcome == kSuspect);
    CHECK(judged(n_requests, kLateReadingNs + 600'000, 0).outcome == kInvalid);
    CHECK(judged(n_requests, 0, kLateReadingNs).detail.starts_with(kFewReadings));
    CHECK(judged(n_requests, 0, kLateReadingNs + 600'000).detail.starts_with(kFewReadings));
  }
  CHECK(
      judged(1, 0, 500'000).detail ==
      "few readings: gaps between tokens and E2E - TTFT differ by 500.0 us or more of 35.50 ms in 90 % of the requests "
      "(allowed: 455.0 us)");
  // Ten readings have no such allowance.
  CHECK(judged(10, 0, 400'000).outcome == kPassed);
  CHECK(judged(10, 0, 500'000).outcome == kInvalid);
  CHECK(judged(10, 500'000, 0).outcome == kInvalid);
  CHECK_FALSE(judged(10, 0, 500'000).detail.starts_with(kFewReadings));
}

TEST_CASE("tokens that arrive late after their own stamps are suspect, though each of them is as late as the others") {
  // A first token is stamped 30 ms after its request was sent, and arrives a delay later. Of the time to its arrival, 5 % and 0.1 ms may
  // be delay: a delay of 1.6 ms passes, because 0.05 x 31.6 + 0.1 = 1.68 ms are allowed, and one of 1.8 ms does not (1.69 ms).
  const auto judged = [](std::int64_t delay_ns, std::size_t n_late) {
    std::vector<RequestSample> samples = steady_load();
    for (std::size_t index = 0; index < n_late; ++index) {
      samples[index].first_received_ns = *samples[index].first_token_ns + delay_ns;
      samples[index].last_received_ns = *samples[index].last_token_ns + delay_ns;
    }
    CheckRecord timestamps = check_timestamps(samples);
    REQUIRE(timestamps.outcome == kPassed);
    suspect_late_arrivals(samples, timestamps);
    return timestamps;
  };
  CHECK(judged(1'600'000, 40).outcome == kPassed);
  CHECK(judged(1'800'000, 40).outcome == kSuspect);
  CHECK(
      judged(1'800'000, 40).detail ==
      "first tokens arrived 1.80 ms after the times that the system itself stamped, of 31.80 ms from sending to arrival "
      "(medians): a user has them later than the row says");
  CHECK(judged(100 * kMs, 19).outcome == kPassed);  // fewer than half of the requests are late
  std::vector<RequestSample> late = steady_load();
  for (RequestSample& sample : late) sample.first_received_ns = *sample.first_token_ns + 100 * kMs;
  CheckRecord suspect{"timestamps", kSuspect, "few readings"};
  suspect_late_arrivals(late, suspect);
  CHECK(suspect.outcome == kSuspect);
  CHECK(suspect.detail.starts_with("few readings; first tokens arrived 100"));
  CheckRecord known{"timestamps", kInvalid, "out of order"};
  suspect_late_arrivals(steady_load(), known);
  CHECK(known.outcome == kInvalid);
}

TEST_CASE("the slow clock of a single request is invalid where it misses more than one late reading explains") {
  const auto judged = [](std::int64_t duration_ns) {
    std::vector<RequestSample> samples = steady_load();
    samples.resize(1);
    RequestSample& sample = samples.front();
    sample.last_received_ns = *sample.first_received_ns + duration_ns;
    sample.itl_ns.assign(7, duration_ns / 7 * 4 / 5);  // by a clock that loses a fifth of the time
    sample.last_token_ns = *sample.first_token_ns + 7 * sample.itl_ns[0];
    return check_timestamps(samples).outcome;
  };
  CHECK(judged(20 * kMs) == kSuspect);
  CHECK(judged(28 * kMs) == kInvalid);
}

TEST_CASE("a fall of the time per token within less than a second is no verdict on the warm-up") {
  const auto fall = [](std::size_t i) { return 1.5 - 0.5 * static_cast<double>(i) / 39; };
  // The same 280 steps within half a second.
  std::vector<RequestSample> short_load = steady_load();
  stretch(short_load, fall);
  for (RequestSample& sample : short_load) {
    *sample.first_token_ns /= 8;
    for (std::int64_t& gap : sample.itl_ns) gap /= 8;
  }
  CHECK(check_warm_up(short_load, true).outcome == kNotAvailable);
  CHECK(check_warm_up(short_load, true).detail == "a trend needs 100 steps over 1.00 s, has 280 over 490.94 ms");
  // Ten seconds, but only 70 steps.
  std::vector<RequestSample> few_steps(steady_load());
  stretch(few_steps, fall);
  few_steps.resize(10);
  for (RequestSample& sample : few_steps) *sample.first_token_ns *= 10;
  CHECK(check_warm_up(few_steps, true).outcome == kNotAvailable);
}

TEST_CASE("a prompt that a system did not compute counts where nothing is shared, and by its share") {
  std::vector<RequestSample> samples = steady_load();  // 40 prompts of 16 tokens
  const auto outcome = [&](std::int32_t n_cached, const Scenario& scenario = kOpenLoop) {
    samples[3].n_cached_prompt_tokens = std::min(n_cached, 16);
    samples[4].n_cached_prompt_tokens = std::min(n_cached - *samples[3].n_cached_prompt_tokens, 16);
    samples[5].n_cached_prompt_tokens =
        n_cached - *samples[3].n_cached_prompt_tokens - *samples[4].n_cached_prompt_tokens;
    return check_prompt_cache(scenario, samples).outcome;
  };
  CHECK(outcome(6) == kPassed);
  CHECK(outcome(7) == kSuspect);
  CHECK(outcome(48) == kSuspect);
  samples[6].n_cached_prompt_tokens = 16;
  CHECK(outcome(48) == kSuspect);  // 64 of 640, a tenth
  CHECK(outcome(49) == kInvalid);
  Scenario shared = kOpenLoop;
  shared.n_shared_prefix = 8;
  CHECK(outcome(48, shared) == kNotAvailable);
  Scenario recorded = kOpenLoop;
  recorded.arrivals = ArrivalKind::kTrace;
  CHECK(outcome(48, recorded) == kNotAvailable);
  for (RequestSample& sample : samples) sample.turn = 2;
  samples.front().turn = 1;
  CHECK(outcome(48) == kPassed);
}

TEST_CASE("what a system does not count is not available, and no sentence claims a count of its own") {
  std::vector<RequestSample> samples = steady_load();
  const std::vector<std::int32_t> asked(samples.size(), 8);
  for (RequestSample& sample : samples) sample.n_cached_prompt_tokens.reset();
  CHECK(check_prompt_cache(kOpenLoop, samples).outcome == kNotAvailable);
  CHECK(check_prompt_cache(kOpenLoop, samples).detail ==
        "the system does not say how many prompt tokens came from a cache");
  // The share is that of the requests whose count is known.
  samples[3].n_cached_prompt_tokens = 8;
  CHECK(check_prompt_cache(kOpenLoop, samples).outcome == kInvalid);
  CHECK(check_compiled(std::nullopt).outcome == kNotAvailable);
  CHECK(check_tokens(samples, asked).detail == "320 arrived, as asked and as the system counts");
  samples[3].engine_tokens.reset();
  CHECK(check_tokens(samples, asked).detail == "320 arrived, as asked; the system counts those of 39 of 40 requests");
  for (RequestSample& sample : samples) sample.engine_tokens.reset();
  CHECK(check_tokens(samples, asked).detail == "320 arrived, as asked; the system gives no count");
}

TEST_CASE("tokens that nothing showed must agree with the text, and are suspect without one") {
  std::vector<RequestSample> samples = steady_load();
  const std::vector<std::int32_t> asked(samples.size(), 8);
  for (RequestSample& sample : samples) {
    sample.engine_tokens.reset();
    sample.assumed_tokens = 6;
  }
  CHECK(check_tokens(samples, asked).outcome == kSuspect);
  for (RequestSample& sample : samples) sample.text_tokens = 8;
  CHECK(check_tokens(samples, asked).outcome == kPassed);
  // 320 tokens were taken for the answers, so their text may have 32 more or fewer.
  const auto with_text_of_first = [&](std::int32_t n_more) {
    samples.front().text_tokens = 8 + n_more;
    return check_tokens(samples, asked).outcome;
  };
  CHECK(with_text_of_first(32) == kPassed);
  CHECK(with_text_of_first(33) == kInvalid);
  for (RequestSample& sample : samples) sample.text_tokens = 2;
  const CheckRecord capped = check_tokens(samples, asked);
  CHECK(capped.outcome == kInvalid);
  CHECK(
      capped.detail ==
      "240 had no event of their own and are assumed, because the system gives no count and answers ended by their "
      "length; the text of answers that were taken for 320 tokens has 80 by the bundle's tokenizer (allowed: 10 % more "
      "or less)");
  // In a few tokens two more or fewer are no finding.
  samples.resize(1);
  samples.front().text_tokens = 6;
  CHECK(check_tokens(samples, std::vector<std::int32_t>{8}).outcome == kPassed);
  samples.front().text_tokens = 5;
  CHECK(check_tokens(samples, std::vector<std::int32_t>{8}).outcome == kInvalid);
}

TEST_CASE("too little to tell is said, and never passed") {
  const std::vector<RequestSample> two(2, steady_load().front());
  CHECK(check_queue(kOpenLoop, two).outcome == kNotAvailable);
  CHECK(check_warm_up(two, true).outcome == kNotAvailable);
  CHECK(check_rate(kOpenLoop, two).outcome == kNotAvailable);
  const Scenario closed{.kind = ScenarioKind::kOffline, .batch = 4};
  CHECK(check_rate(closed, steady_load()).outcome == kNotAvailable);
  CHECK(check_queue(closed, steady_load()).outcome == kNotAvailable);
}

// --- The host -----------------------------------------------------------------------------------------------------

const std::vector<std::int32_t> kCpus = {0, 1};

std::vector<CheckRecord> host_checks(const std::function<void(const HostTree&)>& plant,
                                     const std::vector<TelemetrySnapshot>& telemetry, double noise_limit = 0.9) {
  const HostTree tree;
  write_quiet_host(tree);
  const HostState before = read_host_state(tree.files(), kCpus);
  // Ten seconds pass on two CPUs, during which the process runs.
  tree.write("proc/stat", "cpu0 1500 0 250 4000 5 0 3 10 0 0\ncpu1 1500 0 250 4000 5 0 2 10 0 0\n");
  tree.write("proc/self/task/42/schedstat", "12000000000 2000000 50\n");
  plant(tree);
  return check_host(before, read_host_state(tree.files(), kCpus), {10.0}, telemetry,
                    HostCheckLimits::for_noise(noise_limit));
}

std::vector<TelemetrySnapshot> frequencies(std::initializer_list<double> ghz) {
  std::vector<TelemetrySnapshot> snapshots;
  for (const double value : ghz) snapshots.push_back({0, {{"host_frequency_hz_max", 1e9 * value, ""}}});
  return snapshots;
}

const auto kSteadyClock = frequencies({1.0, 3.6, 3.6, 3.59, 3.6, 3.6});

TEST_CASE("a few pages from a disk make a short repetition suspect, and many make it invalid") {
  const auto outcome = [](std::int64_t n_pages) {
    const HostTree tree;
    write_quiet_host(tree);
    const HostState before = read_host_state(tree.files(), kCpus);
    HostState after = before;
    REQUIRE(after.major_faults.has_value());
    *after.major_faults += n_pages;
    constexpr double kWallS = 0.05;  // a single page is a rate of 20 per second
    const std::vector<CheckRecord> checks = check_host(before, after, {kWallS}, {}, HostCheckLimits());
    return std::ranges::find(checks, "page_faults", &CheckRecord::name)->outcome;
  };
  CHECK(outcome(0) == kPassed);
  CHECK(outcome(1) == kSuspect);
  CHECK(outcome(9) == kSuspect);
  CHECK(outcome(10) == kInvalid);
}

TEST_CASE("a quiet host fires no check") {
  const std::vector<CheckRecord> checks = host_checks([](const HostTree&) {}, kSteadyClock);
  CHECK(fired(checks).empty());
  for (const CheckRecord& check : checks) {
    CAPTURE(check.name, check.detail);
    CHECK(check.outcome == kPassed);
  }
}

TEST_CASE("each fault that is planted in a recorded host fires the one check that is there for it") {
  struct Fault {
    const char* what;
    std::function<void(const HostTree&)> plant;
    const char* expected;
  };
  const Fault faults[] = {
      {"another process had the CPU for a third of the time",
       [](const HostTree& tree) { tree.write("proc/self/task/43/schedstat", "1000000000 5001000000 50\n"); },
       "foreign_cpu: suspect"},
      {"another process had the CPU nearly always",
       [](const HostTree& tree) {
         tree.write("proc/self/task/42/schedstat", "2500000000 1000000 50\n");
         tree.write("proc/self/task/43/schedstat", "1000000000 9001000000 50\n");
       },
       "foreign_cpu: invalid"},
      {"the hypervisor took a twentieth",
       [](const HostTree& tree) {
         tree.write("proc/stat", "cpu0 1500 0 250 4000 5 0 3 110 0 0\ncpu1 1500 0 250 4000 5 0 2 10 0 0\n");
       },
       "steal: suspect"},
      {"the hypervisor took half",
       [](const HostTree& tree) {
         tree.write("proc/stat", "cpu0 1000 0 250 4000 5 0 3 510 0 0\ncpu1 1000 0 250 4000 5 0 2 510 0 0\n");
       },
       "steal: invalid"},
      {"the control group's quota was used up for a second of ten",
       [](const HostTree& tree) {
         tree.write("sys/fs/cgroup/run.scope/cpu.stat", "nr_throttled 10\nthrottled_usec 1000000\n");
       },
       "cpu_quota: suspect"},
      {"ten pages came from the disk",
       [](const HostTree& tree) {
         tree.write("proc/self/stat",
                    "42 (a (worker) x) R 1 42 42 0 -1 4194304 900 0 13 0 10 5 0 0 20 0 2 0 100 10 9\n");
       },
       "page_faults: suspect"},
      {"a thousand pages came from the disk",
       [](const HostTree& tree) {
         tree.write("proc/self/stat",
                    "42 (a (worker) x) R 1 42 42 0 -1 4194304 900 0 1003 0 10 5 0 0 20 0 2 0 1 1 9\n");
       },
       "page_faults: invalid"},
      {"the host swapped", [](const HostTree& tree) { tree.write("proc/vmstat", "pswpin 107\npswpout 9\n"); },
       "swap: suspect"},
      {"a part of the process is in swap",
       [](const HostTree& tree) { tree.write("proc/self/status", "VmSwap:\t    64 kB\n"); }, "swap: invalid"},
      {"a core was throttled",
       [](const HostTree& tree) {
         tree.write("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "4\n");
       },
       "throttling: invalid"},
      {"the governor was changed",
       [](const HostTree& tree) { tree.write("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n"); },
       "clock_settings: invalid"},
      {"boost was switched off",
       [](const HostTree& tree) { tree.write("sys/devices/system/cpu/cpufreq/boost", "0\n"); },
       "clock_settings: invalid"},
      {"the laptop was unplugged", [](const HostTree& tree) { tree.write("sys/class/power_supply/AC/online", "0\n"); },
       "clock_settings: invalid"},
  };
  for (const Fault& fault : faults) {
    CAPTURE(fault.what);
    CHECK(fired(host_checks(fault.plant, kSteadyClock)) == std::vector<std::string>{fault.expected});
  }
  const auto none = [](const HostTree&) {};
  CHECK(fired(host_checks(none, frequencies({1.0, 3.6, 3.6, 3.4, 3.6}))) ==
        std::vector<std::string>{"frequency: suspect"});
  CHECK(fired(host_checks(none, frequencies({1.0, 3.6, 3.6, 3.0, 3.6}))) ==
        std::vector<std::string>{"frequency: invalid"});
  CHECK(fired(host_checks(faults[0].plant, kSteadyClock, 0.10)) == std::vector<std::string>{"foreign_cpu: invalid"});
  // With a noise limit of 1, which leaves noise to the gate's interval, the same faults are marked only as suspect.
  CHECK(fired(host_checks(faults[1].plant, kSteadyClock, 1)) == std::vector<std::string>{"foreign_cpu: suspect"});
  CHECK(fired(host_checks(faults[3].plant, kSteadyClock, 1)) == std::vector<std::string>{"steal: suspect"});
  CHECK(fired(host_checks(none, frequencies({1.0, 3.6, 3.6, 3.0, 3.6}), 1)) ==
        std::vector<std::string>{"frequency: suspect"});
}

TEST_CASE("what other processes, the hypervisor and a quota took is a share of the time") {
  const auto lost = [](const std::vector<CheckRecord>& checks, std::string_view name) {
    return std::ranges::find(checks, name, &CheckRecord::name)->lost;
  };
  const auto checks = host_checks(
      [](const HostTree& tree) {
        tree.write("proc/self/task/43/schedstat", "1000000000 5001000000 50\n");
        tree.write("sys/fs/cgroup/run.scope/cpu.stat", "nr_throttled 10\nthrottled_usec 1000000\n");
        tree.write("proc/stat", "cpu0 1500 0 250 4000 5 0 3 110 0 0\ncpu1 1500 0 250 4000 5 0 2 10 0 0\n");
      },
      kSteadyClock);
  // 5 s of waiting beside 10 s of running; 1 s of 10; 100 of 2100 ticks.
  CHECK(*lost(checks, "foreign_cpu") == Approx(1.0 / 3).margin(0.01));
  CHECK(*lost(checks, "cpu_quota") == Approx(0.1));
  CHECK(*lost(checks, "steal") == Approx(100.0 / 2100));
  CHECK_FALSE(lost(checks, "swap"));
}

TEST_CASE("what the client of a server lost is a share of the repetition, since it sleeps most of the time") {
  const auto foreign_cpu = [](const char* schedstat, bool computes_here) {
    const HostTree tree;
    write_quiet_host(tree);
    tree.write("proc/self/task/42/schedstat", "0 0 1\n");
    tree.write("proc/self/task/43/schedstat", "0 0 1\n");
    const HostState before = read_host_state(tree.files(), kCpus);
    tree.write("proc/self/task/42/schedstat", schedstat);
    // A thread that samples the machine waits as well, and nothing is lost by that.
    tree.write("proc/self/task/43/schedstat", "1000000 30000000 1\n");
    return check_host(before, read_host_state(tree.files(), kCpus), {.wall_s = 2.26, .computes_here = computes_here},
                      {}, HostCheckLimits())
        .front();
  };
  // It ran for 1.9 ms and waited for 52 ms of 2.26 s.
  const CheckRecord client = foreign_cpu("1900000 52000000 50\n", false);
  CHECK(client.name == "foreign_cpu");
  CHECK(client.outcome == kSuspect);
  CHECK(*client.lost == Approx(0.052 / 2.26));
  CHECK(client.detail ==
        "a thread of the client was ready to run and waited 2.3 % of the repetition (0.052 s in 2.26 s) for a CPU that "
        "something else used");
  CHECK(foreign_cpu("1900000 40000000 50\n", false).outcome == kPassed);
  CHECK(foreign_cpu("1900000 2200000000 50\n", false).outcome == kInvalid);
  CHECK(*foreign_cpu("1900000 9000000000 50\n", false).lost == 1.0);
  // The threads of a backend are ready to run nearly all the time, so the share is that of this time.
  CHECK(foreign_cpu("1900000 52000000 50\n", true).outcome == kInvalid);
}

TEST_CASE("a tick or two of the hypervisor in a short repetition are no finding") {
  const auto steal_of = [](const char* stat) {
    return host_checks([stat](const HostTree& tree) { tree.write("proc/stat", stat); }, kSteadyClock)[1];
  };
  // 20 ticks of two CPUs pass, of which the hypervisor takes two, then three.
  const CheckRecord two = steal_of("cpu0 508 0 250 4000 5 0 3 12 0 0\ncpu1 510 0 250 4000 5 0 2 10 0 0\n");
  CHECK(two.outcome == kPassed);
  CHECK(two.detail == "the hypervisor took 10.0 % of the CPU time (2 ticks)");
  CHECK(steal_of("cpu0 507 0 250 4000 5 0 3 13 0 0\ncpu1 510 0 250 4000 5 0 2 10 0 0\n").outcome == kSuspect);
}

TEST_CASE("what a host does not tell is not available with the reason, and never passed") {
  const HostTree empty;
  const HostState state = read_host_state(empty.files(), kCpus);
  const std::vector<CheckRecord> checks = check_host(state, state, {1.0}, {}, {});
  CHECK(checks.size() == 8);
  for (const CheckRecord& check : checks) {
    CAPTURE(check.name);
    CHECK(check.outcome == kNotAvailable);
    CHECK_FALSE(check.detail.empty());
  }
}

// --- Limits -------------------------------------------------------------------------------------------------------

TEST_CASE("a machine that cannot do what it could marks what was measured on it") {
  MachineLimits limits;
  limits.reads = {{std::int64_t{1} << 20, 100e9}, {std::int64_t{128} << 20, 60e9}, {std::int64_t{256} << 20, 50e9}};
  limits.f32_flops = 200e9;
  const auto check = [](double read, double flops, const MachineLimits& best, const StepWork& steps = {}) {
    return check_machine({.read_bytes_per_s = read, .f32_flops = flops, .buffer_bytes = 128 << 20}, best, steps);
  };
  const CheckRecord quiet = check(59e9, 199e9, limits);
  CHECK(quiet.outcome == kPassed);
  CHECK(quiet.detail ==
        "within three seconds of the repetition the machine read at 98 % and computed at 100 % of its best");
  // Other load takes memory bandwidth in the first case, and CPUs in the second.
  CHECK(check(36e9, 199e9, limits).outcome == kSuspect);
  CHECK(check(59e9, 150e9, limits).outcome == kSuspect);
  CHECK(check(59e9, 199e9, MachineLimits()).outcome == kNotAvailable);
  // Steps that read 1 GiB each depend on memory bandwidth; steps that read 5 MiB find it in a cache but still need the CPUs.
  const StepWork large{.n_steps = 3, .weight_bytes = 3.0 * (1 << 30)};
  const StepWork small{.n_steps = 3, .weight_bytes = 3.0 * (4 << 20), .kv_bytes = 3.0 * (1 << 20)};
  CHECK(check(30e9, 199e9, limits, large).outcome == kSuspect);
  CHECK(check(30e9, 199e9, limits, small).outcome == kPassed);
  CHECK(check(30e9, 199e9, limits, small).detail ==
        "within three seconds of the repetition the machine read at 50 % (from memory, which its steps hardly "
        "read) and computed at 100 % of its best");
  CHECK(check(30e9, 150e9, limits, small).outcome == kSuspect);
}

TEST_CASE("a system that became warm is invalid only where no neighbour can have been the cause") {
  const CheckRecord warm_up{"warm_up", kInvalid, "it was not warm yet"};
  std::vector<CheckRecord> checks = {warm_up, {"foreign_cpu", kPassed, ""}, {"machine", kNotAvailable, ""}};
  excuse_by_neighbours(checks);
  CHECK(checks[0].outcome == kInvalid);
  for (const char* const neighbour : {"foreign_cpu", "steal", "cpu_quota", "machine"}) {
    checks = {warm_up, {neighbour, kSuspect, ""}};
    excuse_by_neighbours(checks);
    CHECK(checks[0].outcome == kSuspect);
    CHECK(checks[0].detail == "it was not warm yet, or a neighbour stopped");
  }
  checks = {{"tokens", kInvalid, ""}, {"foreign_cpu", kSuspect, ""}};
  excuse_by_neighbours(checks);
  CHECK(checks[0].outcome == kInvalid);
}

TEST_CASE("a token that was noted late beside a neighbour is no wrong clock, unless it happened again and again") {
  std::vector<RequestSample> samples = steady_load();
  for (RequestSample& sample : samples) *sample.last_received_ns += 8 * kMs;
  const auto judged = [](std::span<const RequestSample> some, CheckOutcome of_neighbours) {
    std::vector<CheckRecord> checks = {check_timestamps(some), {"foreign_cpu", of_neighbours, ""}};
    REQUIRE(checks[0].outcome == kInvalid);
    excuse_by_neighbours(checks);
    return checks[0].outcome;
  };
  CHECK(judged(std::span(samples).first(9), kSuspect) == kSuspect);
  CHECK(judged(std::span(samples).first(9), kPassed) == kInvalid);
  CHECK(judged(std::span(samples).first(10), kSuspect) == kInvalid);
  // All requests of a batch end with the same poll.
  for (RequestSample& sample : samples) sample.last_received_ns = *samples.back().last_received_ns;
  CHECK(judged(samples, kSuspect) == kSuspect);
  // Other load cannot explain a token that is earlier than the one before it.
  samples[0].itl_ns[2] = -1;
  CHECK(judged(samples, kSuspect) == kInvalid);
}

TEST_CASE("a harness that takes a twentieth of the time spoils it") {
  Repetition repetition;
  repetition.window_end_ns = 1'000'000'000;
  repetition.window_output_tokens = 90;
  repetition.decode = {.n_steps = 90, .tokens = 90, .ns = 900 * kMs};
  repetition.prefill = {.n_steps = 1, .tokens = 100, .ns = 50 * kMs};
  // 10 requests, 91 steps and 90 tokens in one second: 1 % is 10 ms, and 5 % is 50 ms.
  CHECK(check_harness(repetition, 10, {10'000, 10'000, 1000}).outcome == kPassed);
  CHECK(check_harness(repetition, 10, {910'000, 0, 0}).outcome == kPassed);
  CHECK(check_harness(repetition, 10, {1'010'000, 0, 0}).outcome == kSuspect);
  CHECK(check_harness(repetition, 10, {0, 115'000, 0}).outcome == kSuspect);
  CHECK(check_harness(repetition, 10, {0, 0, 115'000}).outcome == kSuspect);
  CHECK(check_harness(repetition, 10, {1'000'000, 250'000, 250'000}).outcome == kInvalid);
  CHECK(check_harness(Repetition(), 10, {1000, 1000, 100}).outcome == kNotAvailable);
  // Without a count of steps, every token counts as a separate poll.
  Repetition uncounted = repetition;
  uncounted.decode = uncounted.prefill = {};
  CHECK(check_harness(uncounted, 10, {0, 115'000, 0}).outcome == kSuspect);
}

}  // namespace
}  // namespace secondsource
