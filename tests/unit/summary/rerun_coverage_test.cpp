// Tests that the intervals of a summary contain the figures of a rerun as often as docs/metrics.md says, by summarizing whole
// simulated journals. tests/reruns/simulate.py does the same with NumPy and SciPy for more shapes of noise.

#include <array>
#include <cmath>
#include <numbers>

#include "core/random.h"
#include "support/catch.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

constexpr std::int32_t kRequests = 16;
constexpr double kMs = 1e6;

double normal(RandomStream& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.next_unit()));
  return radius * std::cos(2 * std::numbers::pi * random.next_unit());
}

/// A factor for each repetition with a noise of 3 %; consecutive repetitions have the correlation `phi`.
std::vector<double> slowness_of(RandomStream& random, std::int32_t repetitions, double phi) {
  std::vector<double> slowness;
  double level = normal(random);
  for (std::int32_t r = 0; r < repetitions; ++r) {
    slowness.push_back(std::exp(0.03 * level));
    level = phi * level + std::sqrt(1 - phi * phi) * normal(random);
  }
  return slowness;
}

/// Draws the time to first token of each request of a repetition, in ns.
using FirstTokens = std::array<double, kRequests> (*)(RandomStream&, double slowness);

/// Prompts that take 1 to 40 ms, with 1 % noise per request.
std::array<double, kRequests> single_stream(RandomStream& random, double slowness) {
  std::array<double, kRequests> times{};
  for (std::size_t i = 0; i < times.size(); ++i) {
    times[i] = kMs * std::pow(40.0, static_cast<double>(i) / kRequests) * slowness * std::exp(0.01 * normal(random));
  }
  return times;
}

/// Four prefill steps, each of which is shared by four requests.
std::array<double, kRequests> batch(RandomStream& random, double slowness) {
  std::array<double, kRequests> times{};
  double now = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (i % 4 == 0) now += 2 * kMs * slowness * std::exp(0.1 * normal(random));
    times[i] = now;
  }
  return times;
}

CellSummary measure(RandomStream& random, std::int32_t repetitions, double phi, FirstTokens first_tokens) {
  Journal journal = hand_made_journal(repetitions, kRequests);
  const std::vector<double> slowness = slowness_of(random, repetitions, phi);
  std::array<double, kRequests> times{};
  for (JournalLine& line : journal.lines) {
    if (auto* sample = std::get_if<RequestSample>(&line)) {
      const double slow = slowness[static_cast<std::size_t>(sample->repetition)];
      if (sample->request == 0) times = first_tokens(random, slow);
      sample->first_token_ns = sample->sent_ns + std::llround(times[static_cast<std::size_t>(sample->request)]);
      sample->last_token_ns = *sample->first_token_ns + std::llround(8 * kMs * slow);
    } else if (auto* repetition = std::get_if<Repetition>(&line)) {
      repetition->window_end_ns = std::llround(1e3 * kMs * slowness[static_cast<std::size_t>(repetition->repetition)]);
      repetition->window_output_tokens = 200;
    }
  }
  return summarize(hand_made_record(repetitions), journal).cells[0];
}

/// Whether the interval of the run contains the figure of the rerun.
bool holds(const Estimate& run, const Estimate& rerun) {
  return run.low && *run.low <= *rerun.value && *rerun.value <= *run.high;
}

}  // namespace

TEST_CASE("an interval of 95 % holds 90 to 99 % of the figures of reruns") {
  const auto [name, phi, first_tokens] = GENERATE(table<const char*, double, FirstTokens>({
      {"repetitions that resemble each other little, prompts of many lengths", 0.2, single_stream},
      {"repetitions that drift, prompts of many lengths", 0.5, single_stream},
      {"repetitions that drift, requests that share steps", 0.5, batch},
  }));
  const std::int32_t repetitions = GENERATE(3, 5, 10);
  constexpr int kRuns = 2000;  // one standard error of 95 % is 0.5 %
  RandomStream random(11);
  int n_ttft = 0, n_tpot = 0, n_rate = 0;
  CellSummary run = measure(random, repetitions, phi, first_tokens);
  for (int i = 0; i < kRuns; ++i) {
    CellSummary rerun = measure(random, repetitions, phi, first_tokens);
    n_ttft += holds(run.ttft_e2e_p50_ns, rerun.ttft_e2e_p50_ns);
    n_tpot += holds(run.tpot_mean_ns, rerun.tpot_mean_ns);
    n_rate += holds(run.output_tok_per_s, rerun.output_tok_per_s);
    run = std::move(rerun);
  }
  CAPTURE(name, repetitions, n_ttft, n_tpot, n_rate);
  for (const int n : {n_ttft, n_tpot, n_rate}) {
    CHECK(n >= 0.90 * kRuns);
    CHECK(n <= 0.99 * kRuns);
  }
}

TEST_CASE("prompts of different lengths and requests that share a step add nothing to an interval") {
  for (const FirstTokens first_tokens : {single_stream, batch}) {
    Journal journal = hand_made_journal(5, kRequests);
    for (JournalLine& line : journal.lines) {
      auto* sample = std::get_if<RequestSample>(&line);
      if (sample == nullptr) continue;
      RandomStream random(3);  // the same times in each repetition
      sample->first_token_ns =
          sample->sent_ns + std::llround(first_tokens(random, 1)[static_cast<std::size_t>(sample->request)]);
    }
    const CellSummary cell = summarize(hand_made_record(5), journal).cells[0];
    CHECK(*cell.ttft_e2e_p50_ns.low == *cell.ttft_e2e_p50_ns.value);
    CHECK(*cell.ttft_e2e_p50_ns.high == *cell.ttft_e2e_p50_ns.value);
  }
}

TEST_CASE("repetitions are compared by the requests that all of them have") {
  // The second repetition ended early, when its time was used up, and one request of the third failed. The remaining requests
  // have the same times in each repetition.
  Journal journal = hand_made_journal(3, kRequests);
  std::erase_if(journal.lines, [](const JournalLine& line) {
    const auto* sample = std::get_if<RequestSample>(&line);
    return sample != nullptr && sample->repetition == 1 && sample->request >= 9;
  });
  for (JournalLine& line : journal.lines) {
    auto* sample = std::get_if<RequestSample>(&line);
    if (sample != nullptr && sample->repetition == 2 && sample->request == 4) sample->error = "refused";
  }
  const CellSummary cell = summarize(hand_made_record(3), journal).cells[0];
  CHECK(cell.n_samples == 3 * kRequests - 7 - 1);
  CHECK(*cell.ttft_e2e_p50_ns.low == *cell.ttft_e2e_p50_ns.value);
  CHECK(*cell.ttft_e2e_p50_ns.high == *cell.ttft_e2e_p50_ns.value);
}

TEST_CASE("fewer than three repetitions have figures without intervals, and the reason") {
  const CellSummary cell = summarize(hand_made_record(2), hand_made_journal(2, kRequests)).cells[0];
  CHECK(cell.ttft_e2e_p50_ns.value);
  CHECK_FALSE(cell.ttft_e2e_p50_ns.low);
  CHECK(cell.ttft_e2e_p50_ns.why_not == "an interval needs 3 repetitions, has 2");
  CHECK_FALSE(cell.output_tok_per_s.high);
  CHECK(cell.output_tok_per_s.why_not == "an interval needs 3 repetitions, has 2");
}
