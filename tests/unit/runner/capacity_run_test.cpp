// Tests server:slo-max with simulated servers in virtual time. The simulation (arrivals, queue, service) belongs to this test
// and shares nothing with the engine or the load generator. For exponential service times the capacity is known from
// queueing theory: in a queue with c servers (M/M/c) a request waits longer than t with probability
//   C(c, a) exp(-(c mu - lambda) t),  a = lambda / mu,  C = Erlang's formula
// so that the highest rate that keeps an SLO for the first token is the solution of one equation.
#include "runner/capacity_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "core/enum_format.h"
#include "measure/rate_verdict.h"
#include "measure/request_checks.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

constexpr int kSlots = 16;
constexpr double kServiceS = 0.068;
constexpr double kFirstTokenS = 0.005;  ///< from the beginning of service
constexpr double kFull = kSlots / kServiceS;
// The allowed range of the rate, as a share of the capacity. The work in a hold of 30 s varies by about 2 % with the random arrivals
// and service times; a back-off is 5 %, and the last two rates of the search are up to 5 % apart.
constexpr double kLowest = 0.83;
constexpr double kHighest = 1.07;

/// The server's speed at a moment, as a share of its full speed.
using Speed = std::function<double(double now_s)>;

/// A server with kSlots slots, one queue, exponential service times and a virtual clock.
class SimulatedServer {
 public:
  explicit SimulatedServer(Speed speed = [](double) { return 1.0; }) : speed_(std::move(speed)) {}

  /// Serves requests that arrive at `at_s` (from now on); returns their samples and advances the clock to their end.
  std::vector<RequestSample> serve(const std::vector<double>& at_s, std::mt19937_64& random) {
    std::priority_queue<double, std::vector<double>, std::greater<>> free_at;
    for (int slot = 0; slot < kSlots; ++slot) free_at.push(0);
    std::vector<RequestSample> samples;
    double end_s = 0;
    for (const double arrival_s : at_s) {
      const double begin_s = std::max(arrival_s, free_at.top());
      free_at.pop();
      const double first_s = work_until(begin_s, kFirstTokenS);
      const double last_s = work_until(begin_s, std::max(kFirstTokenS, exponential(kServiceS, random)));
      free_at.push(last_s);
      end_s = std::max(end_s, last_s);
      RequestSample sample;
      sample.scheduled_ns = sample.sent_ns = std::llround(1e9 * arrival_s);
      sample.first_token_ns = std::llround(1e9 * first_s);
      sample.last_token_ns = std::llround(1e9 * last_s);
      sample.n_output_tokens = 1;  // hence no TPOT: the SLO concerns the queue
      samples.push_back(sample);
    }
    now_s_ += end_s;
    return samples;
  }

  std::vector<double> poisson(double rate, int n, std::mt19937_64& random) const {
    std::vector<double> at_s;
    for (double now_s = 0; static_cast<int>(at_s.size()) < n;) at_s.push_back(now_s += exponential(1 / rate, random));
    return at_s;
  }

  [[nodiscard]] double now_s() const { return now_s_; }
  void set_now(double now_s) { now_s_ = now_s; }

 private:
  static double exponential(double mean, std::mt19937_64& random) {
    return std::exponential_distribution<double>(1 / mean)(random);
  }

  /// The time when work that takes `left_s` at full speed and begins at `at_s` is done. The speed is looked up every 10 ms.
  [[nodiscard]] double work_until(double at_s, double left_s) const {
    constexpr double kTick = 0.01;
    while (true) {
      const double speed = speed_(now_s_ + at_s);
      if (left_s <= kTick * speed) return at_s + left_s / speed;
      left_s -= kTick * speed;
      at_s += kTick;
    }
  }

  Speed speed_;
  double now_s_ = 0;
};

/// Erlang's formula by its recursion (Erlang B, then C): the probability that a request waits.
double erlang_c(int c, double a) {
  double blocked = 1;
  for (int servers = 1; servers <= c; ++servers) blocked = a * blocked / (servers + a * blocked);
  return blocked / (1 - a / c * (1 - blocked));
}

/// The highest rate at which `percent` of the requests wait at most `wait_s`.
double theoretical_capacity(double wait_s, double percent) {
  double low = 0, high = kFull;
  for (int i = 0; i < 60; ++i) {
    const double rate = (low + high) / 2;
    const double late = erlang_c(kSlots, rate * kServiceS) * std::exp(-(kFull - rate) * wait_s);
    (late <= 1 - percent / 100 ? low : high) = rate;
  }
  return low;
}

/// Runs a cell of server:slo-max on a simulated server, and keeps what the run would store.
struct Simulation {
  explicit Simulation(
      std::uint64_t seed, const Slo& slo_to_keep, Speed speed = [](double) { return 1.0; })
      : slo(slo_to_keep), server(std::move(speed)) {
    cell.key = {"bundle", "backend", "bf16", "server-slo-max"};
    cell.repetitions = 5;
    cell.scenario.kind = ScenarioKind::kServer;
    cell.scenario.batch = kSlots;
    cell.scenario.seeks_slo_rate = true;
    plan.cell = cell.key.id();
    plan.scenario = cell.scenario;
    plan.seed = seed;
  }

  Result<WorkerOutcome> run() {
    CapacityRun capacity(cell, slo, plan, hooks());
    Result<WorkerOutcome> outcome = capacity.run(FinishedWork(stored));
    rate = capacity.held_scenario().rate_per_s;
    return outcome;
  }

  CapacityRun::Hooks hooks() {
    return {.measure = [this](const MeasureCommand& command, std::vector<JournalLine>& lines) -> Result<WorkerOutcome> {
              if (n_commands_left-- == 0) return Error{ErrorCode::kInterrupted, "interrupted"};
              measure(command, lines);
              on_attempt(command);
              return WorkerOutcome();
            },
            .store = [this](std::span<const JournalLine> lines) -> Result<void> {
              stored.insert(stored.end(), lines.begin(), lines.end());
              return {};
            },
            .is_out_of_time = [this] { return server.now_s() > max_time_s; },
            .say = [](const std::string&) {},
            .note = [this](const std::string& line) { notes.push_back(line); }};
  }

  void measure(const MeasureCommand& command, std::vector<JournalLine>& lines) {
    const Scenario& scenario = command.plan.scenario;
    std::mt19937_64 random(1000 * command.plan.seed + static_cast<std::uint64_t>(command.plan.repetition));
    const double began_s = server.now_s();
    const bool is_full = command.probe && command.probe->phase == ProbePhase::kSaturation;
    const std::vector<double> at_s = is_full ? std::vector<double>(static_cast<std::size_t>(scenario.n_requests), 0.0)
                                             : server.poisson(scenario.rate_per_s, scenario.n_requests, random);
    std::vector<RequestSample> samples = server.serve(at_s, random);
    double wall_s = server.now_s() - began_s;
    if (command.probe) {
      if (!is_full) wall_s = std::min(wall_s, decided_after_s(samples));
      server.set_now(began_s + wall_s);
      RateProbe probe{.cell = plan.cell, .index = command.probe->index, .rate_per_s = scenario.rate_per_s};
      probe.phase = command.probe->phase;
      probe.wall_s = wall_s;
      probe.n_requests = scenario.n_requests;
      RateVerdict verdict = judge_rate(scenario, probe.phase, slo, samples);
      probe.verdict = is_full ? ProbeVerdict::kSaturated : verdict.verdict;
      probe.why = verdict.why;
      if (is_full) probe.rate_per_s = full_rate(samples);
      lines.emplace_back(std::move(probe));
      return;
    }
    Repetition repetition;
    repetition.cell = plan.cell;
    repetition.repetition = command.plan.repetition;
    repetition.rate_per_s = scenario.rate_per_s;
    repetition.wall_s = wall_s;
    repetition.checks = {check_rate(scenario, samples), check_queue(scenario, samples)};
    for (RequestSample& sample : samples) {
      sample.cell = plan.cell;
      sample.repetition = command.plan.repetition;
      lines.emplace_back(std::move(sample));
    }
    lines.emplace_back(std::move(repetition));
  }

  /// The time when so many requests have missed the SLO that it can no longer be kept; a worker ends an attempt then.
  [[nodiscard]] double decided_after_s(std::vector<RequestSample> samples) const {
    std::ranges::sort(samples, {}, [](const RequestSample& sample) { return *sample.last_token_ns; });
    double n_allowed = static_cast<double>(samples.size()) * (1 - slo.percent / 100);
    for (const RequestSample& sample : samples) {
      if (!keeps(sample, slo) && --n_allowed < 0) return 1e-9 * static_cast<double>(*sample.last_token_ns);
    }
    return 1e9;
  }

  /// Requests per second until the first slot stays empty.
  static double full_rate(std::vector<RequestSample> samples) {
    std::ranges::sort(samples, {}, [](const RequestSample& sample) { return *sample.last_token_ns; });
    const std::size_t n_ended = samples.size() - kSlots + 1;
    return 1e9 * static_cast<double>(n_ended) / static_cast<double>(*samples[n_ended - 1].last_token_ns);
  }

  template <typename T>
  std::vector<T> all() const {
    std::vector<T> found;
    for (const JournalLine& line : stored) {
      if (const auto* one = std::get_if<T>(&line)) found.push_back(*one);
    }
    return found;
  }

  PlannedCell cell;
  Slo slo;
  RepetitionPlan plan;
  SimulatedServer server;
  std::vector<JournalLine> stored;
  std::vector<std::string> notes;
  std::function<void(const MeasureCommand&)> on_attempt = [](const MeasureCommand&) {};
  double rate = 0;
  double max_time_s = 1e9;
  int n_commands_left = -1;  ///< -1: no interrupt
};

/// Checks what every successful run stores: five repetitions at the rate that held, none INVALID, which certainly keep the SLO.
void check_kept(const Simulation& simulation) {
  const auto repetitions = simulation.all<Repetition>();
  REQUIRE(repetitions.size() == 5);
  for (const Repetition& repetition : repetitions) {
    CHECK(repetition.rate_per_s == simulation.rate);
    for (const CheckRecord& check : repetition.checks) {
      CAPTURE(check.name, check.detail);
      CHECK(check.outcome != CheckOutcome::kInvalid);
    }
  }
  const auto samples = simulation.all<RequestSample>();
  std::vector<const RequestSample*> pointers;
  for (const RequestSample& sample : samples) pointers.push_back(&sample);
  CHECK(attainment(pointers, simulation.slo).verdict == SloVerdict::kKept);
  const auto last_end = std::ranges::max(samples, {}, &RequestSample::scheduled_ns).scheduled_ns;
  CHECK(last_end > 9'000'000'000);
}

/// The stored attempts without their times, because the simulated clock restarts when a run is resumed.
std::vector<std::string> attempts_in(const Simulation& simulation) {
  std::vector<std::string> lines;
  for (const RateProbe& probe : simulation.all<RateProbe>()) {
    lines.push_back(fmt::format("{} {} {} {}", probe.index, probe.phase, probe.rate_per_s, probe.verdict));
  }
  return lines;
}

TEST_CASE("the rate found is the capacity that queueing theory gives, within 17 % below and 7 % above, and holds") {
  struct Case {
    double ttft_ms;
    double percent;
  };
  for (const Case& one : {Case{30, 90}, Case{200, 95}, Case{500, 99}, Case{2000, 99}}) {
    const double capacity = theoretical_capacity(1e-3 * one.ttft_ms - kFirstTokenS, one.percent);
    std::vector<double> shares;
    for (std::uint64_t seed = 1; seed <= 15; ++seed) {
      Simulation simulation(seed, {"mine", one.ttft_ms, 1e6, one.percent});
      REQUIRE_OK(simulation.run());
      CAPTURE(one.ttft_ms, one.percent, seed, capacity, simulation.notes);
      CHECK(simulation.rate > kLowest * capacity);
      CHECK(simulation.rate < kHighest * capacity);
      check_kept(simulation);
      CHECK(simulation.server.now_s() < 330);
      shares.push_back(simulation.rate / capacity);
    }
    std::ranges::sort(shares);
    CHECK(shares[7] == Approx(0.98).margin(0.05));  // the median
  }
}

/// The capacity of a server that is sometimes slow: the rate at which the simulation, run for an hour, just keeps the SLO.
double long_run_capacity(const Slo& slo, const Speed& speed) {
  double low = 0.2 * kFull, high = kFull;
  for (int i = 0; i < 9; ++i) {
    const double rate = (low + high) / 2;
    SimulatedServer server(speed);
    std::mt19937_64 random(99);
    const auto samples = server.serve(server.poisson(rate, static_cast<int>(3600 * rate), random), random);
    const auto n_kept = std::ranges::count_if(samples, [&](const RequestSample& sample) { return keeps(sample, slo); });
    (100 * static_cast<double>(n_kept) >= slo.percent * static_cast<double>(samples.size()) ? low : high) = rate;
  }
  return low;
}

// A burst takes a larger share of a hold of 30 s than of an hour, so the rate that holds is lower than the capacity over an hour.
TEST_CASE("bursts of slowness make no cell INVALID; the rate that held is half to all of what an hour shows") {
  struct Case {
    double every_s;
    double length_s;
    double speed;  ///< during a burst
    double percent;
  };
  for (const Case& one :
       {Case{11, 0.7, 0.3, 95}, Case{30, 3, 0.5, 95}, Case{60, 1, 0.0001, 95}, Case{7, 0.2, 0.0001, 90}}) {
    const Speed bursts = [one](double now_s) {
      return std::fmod(now_s + 3, one.every_s) < one.length_s ? one.speed : 1.0;
    };
    const Slo slo{"mine", 200, 1e6, one.percent};
    const double capacity = long_run_capacity(slo, bursts);
    for (std::uint64_t seed = 1; seed <= 15; ++seed) {
      Simulation simulation(seed, slo, bursts);
      const auto outcome = simulation.run();
      REQUIRE_OK(outcome);
      CAPTURE(one.every_s, one.length_s, one.speed, seed, capacity, simulation.notes);
      CHECK_FALSE(*outcome);
      check_kept(simulation);
      CHECK(simulation.rate > 0.5 * capacity);
      CHECK(simulation.rate < 1.1 * capacity);
    }
  }
}

TEST_CASE(
    "a rate that fails in its hold or in its repetitions is given up, and a lower one is held from the beginning") {
  const Slo slo{"mine", 200, 1e6, 95};
  const auto end_of = [&](ProbePhase phase) {  // when the last attempt of a phase ends on a steady server
    Simulation steady(1, slo);
    double end_s = 0;
    steady.on_attempt = [&](const MeasureCommand& command) {
      if (command.probe && command.probe->phase == phase) end_s = steady.server.now_s();
    };
    REQUIRE_OK(steady.run());
    return end_s;
  };
  for (const ProbePhase phase : {ProbePhase::kSearch, ProbePhase::kHold}) {
    // From then on the server has 80 % of its speed, as one that has become hot.
    const double hot_s = end_of(phase) + 15;
    Simulation simulation(1, slo, [hot_s](double now_s) { return now_s < hot_s ? 1.0 : 0.8; });
    const auto outcome = simulation.run();
    REQUIRE_OK(outcome);
    CAPTURE(phase, hot_s, simulation.notes);
    CHECK_FALSE(*outcome);
    int n_failed = 0;
    for (const RateProbe& probe : simulation.all<RateProbe>()) {
      if (probe.phase == ProbePhase::kHold && probe.verdict != ProbeVerdict::kKept) ++n_failed;
    }
    CHECK(n_failed >= 1);
    check_kept(simulation);
    // At 80 % of the speed the server completes 80 % of the rate, and a queue of the same length takes longer to drain.
    CHECK(simulation.rate < 0.8 * kHighest * theoretical_capacity(0.2 - kFirstTokenS, 95));
    CHECK(simulation.rate > 0.8 * kLowest * theoretical_capacity(0.2 - kFirstTokenS, 95));
    const std::vector<std::string>& notes = simulation.notes;
    const bool in_repetitions = std::ranges::any_of(
        notes, [](const std::string& note) { return note.find("repetition") != std::string::npos; });
    if (phase == ProbePhase::kHold) CHECK(in_repetitions);
  }
}

TEST_CASE("a server that becomes ever slower holds no rate: a result that says so, and no INVALID cell") {
  Simulation simulation(1, {"mine", 200, 1e6, 95}, [](double now_s) { return std::exp(-now_s / 60); });
  const auto outcome = simulation.run();
  REQUIRE_OK(outcome);
  REQUIRE(*outcome);
  CHECK((*outcome)->kind == FailureKind::kNoRate);
  CHECK((*outcome)->message.starts_with("no rate was held for long enough: "));
  CHECK(simulation.all<Repetition>().empty());
}

TEST_CASE(
    "an interrupted search goes on after the attempts that are stored, to the same rate; nothing is tried twice") {
  const Slo slo{"mine", 200, 1e6, 95};
  Simulation whole(3, slo);
  REQUIRE_OK(whole.run());
  const std::size_t n_commands = whole.all<RateProbe>().size() + 5;
  for (std::size_t n_before = 0; n_before < n_commands; ++n_before) {
    CAPTURE(n_before);
    Simulation cut(3, slo);
    cut.n_commands_left = static_cast<int>(n_before);
    CHECK_ERROR(cut.run(), ErrorCode::kInterrupted, "interrupted");
    CHECK(cut.all<Repetition>().empty());  // repetitions are stored together
    cut.n_commands_left = -1;
    REQUIRE_OK(cut.run());
    CHECK(cut.rate == whole.rate);
    CHECK(attempts_in(cut) == attempts_in(whole));
  }
}

TEST_CASE("with the time used up, the best rate so far is held and measured once; a resumed run takes the rest at it") {
  Simulation simulation(1, {"mine", 200, 1e6, 95});
  simulation.max_time_s = 25;
  REQUIRE_OK(simulation.run());
  const double rate = simulation.rate;
  CHECK(rate > 0);
  CHECK(simulation.all<Repetition>().size() == 1);
  simulation.max_time_s = 1e9;
  REQUIRE_OK(simulation.run());
  CHECK(simulation.rate == rate);
  check_kept(simulation);
}

TEST_CASE("with the time used up, no lower rate is held after one that did not hold") {
  Simulation simulation(1, {"mine", 200, 1e6, 95}, [](double now_s) { return std::exp(-now_s / 60); });
  simulation.max_time_s = 25;
  const auto outcome = simulation.run();
  REQUIRE_OK(outcome);
  REQUIRE(*outcome);
  CHECK((*outcome)->kind == FailureKind::kNoRate);
  CHECK((*outcome)->message.starts_with("no rate was held for long enough until the time was used up: "));
  const auto probes = simulation.all<RateProbe>();
  CHECK(std::ranges::count(probes, ProbePhase::kHold, &RateProbe::phase) == 1);
}

}  // namespace
}  // namespace secondsource
