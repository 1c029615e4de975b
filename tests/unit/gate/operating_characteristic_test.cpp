// A quick check of the results in docs/operating-characteristic.md, which `secondsource selftest gate` computes with
// many more trials.

#include "gate/operating_characteristic.h"

#include <cmath>
#include <numeric>

#include "support/catch.h"

using namespace secondsource;

namespace {

constexpr std::int64_t kCells = 16;

PairedGate nightly_gate() {
  return {interleaved_rule(), nightly_plan(), kCells};
}

double standard_deviation(NoiseKind kind, double sigma) {
  std::vector<double> draws;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    NoiseStream stream(kind, sigma, seed);
    for (int i = 0; i < 40; ++i) draws.push_back(stream.next());
  }
  const double mean = std::accumulate(draws.begin(), draws.end(), 0.0) / static_cast<double>(draws.size());
  double squares = 0;
  for (const double draw : draws) squares += (draw - mean) * (draw - mean);
  return std::sqrt(squares / static_cast<double>(draws.size()));
}

}  // namespace

TEST_CASE("unchanged nights seldom fail a check, and a loss of a half is found where nights differ by 5 %") {
  // Of 300 checks with an error of at most 1 %, more than 9 fail with a probability of 0.1 %.
  const AnchorNights noisy{.n_pinned = 5, .n_newest = 5, .noise = NoiseKind::kGaussian, .sigma = 0.12};
  CHECK(simulate_false_checks(noisy, 40, 300, 1, {2}) <= 9);
  const AnchorNights quiet{.n_pinned = 10, .n_newest = 10, .noise = NoiseKind::kGaussian, .sigma = 0.05};
  const GateCounts found = simulate_anchors(quiet, 40, 0.5, 400, 1, {2});
  CHECK(found.n_regressed == found.n_gates());
  CHECK(simulate_anchors(quiet, 40, 0.5, 400, 1, {1}).n_regressed == found.n_regressed);
}

TEST_CASE("each noise model has its normal part, and its trouble on top") {
  CHECK(standard_deviation(NoiseKind::kGaussian, 0.05) == Approx(0.05).epsilon(0.03));
  // Half of the processes are slower by ln 1.08 = 0.077, which gives sqrt(0.05^2 + (0.077 / 2)^2).
  CHECK(standard_deviation(NoiseKind::kBimodal, 0.05) == Approx(0.0631).epsilon(0.03));
  // Two normal parts of the same size add up: 0.05 * sqrt(2).
  CHECK(standard_deviation(NoiseKind::kAutocorrelated, 0.05) == Approx(0.0707).epsilon(0.05));
  for (const NoiseKind kind : noise_kinds()) {
    CAPTURE(to_string(kind));
    CHECK(standard_deviation(kind, 0.05) > 0.048);
  }
}

TEST_CASE(
    "beside bursts of load on one of two cores, +25 % is found in nine of ten gates, and nothing in a build itself") {
  // Beside the neighbour, a process takes at most 1 / 0.6 times as long; the neighbour is present half of the time.
  NoiseStream stream(NoiseKind::kOneCore, 0, 5);
  double sum = 0;
  constexpr int kProcesses = 4000;
  for (int i = 0; i < kProcesses; ++i) {
    const double slowed = std::exp(stream.next());
    CHECK(slowed >= 1 - 1e-9);
    CHECK(slowed <= 1 / 0.6 + 1e-9);
    sum += 1 / slowed;
  }
  // With the neighbour present half of the time, the speed averaged over time is 80 %. Slowed processes take longer and weigh
  // more in that average, so the mean over processes is a little higher.
  CHECK(sum / kProcesses == Approx(0.81).margin(0.02));
  const PairedGate gate(interleaved_rule(), pull_request_plan(), 6);
  CHECK(simulate_gates(gate, NoiseKind::kOneCore, 0.02, 0.25, 200, 7, {2}).n_regressed >= 180);
  CHECK(simulate_gates(gate, NoiseKind::kOneCore, 0.02, 0, 200, 8, {2}).n_regressed <= 1);
}

TEST_CASE("a build compared with itself does not fail, whatever the noise: none of 8 x 60 families of 16 cells") {
  const PairedGate gate = nightly_gate();
  for (const NoiseKind kind : noise_kinds()) {
    CAPTURE(to_string(kind));
    CHECK(simulate_false_families(gate, kind, 0.08, kCells, 60, 1, {2}) == 0);
  }
}

TEST_CASE("a slowdown of 15 % is found at a run noise of 8 %, and one of 25 % sooner") {
  const PairedGate gate = nightly_gate();
  for (const NoiseKind kind : noise_kinds()) {
    CAPTURE(to_string(kind));
    // For 300 trials at 99.3 %, three standard errors are 1.4 %.
    const GateCounts found = simulate_gates(gate, kind, 0.08, 0.15, 300, 2, {2});
    CHECK(found.n_regressed >= 293);
    CHECK(found.n_gates() == 300);
    CHECK(simulate_gates(gate, kind, 0.08, 0.25, 300, 3, {2}).n_pairs < found.n_pairs);
  }
}

TEST_CASE("a single look at 14 pairs finds +25 % in nine of ten gates, and nothing in a build itself") {
  for (const std::int64_t n_pairs : {10, 14}) {
    const PairedGate gate(interleaved_rule(), plan_up_to(n_pairs), 6);
    for (const NoiseKind kind : noise_kinds()) {
      CAPTURE(to_string(kind), n_pairs);
      // The permitted 1 % of false alarms is divided among six cells. So one cell is expected in at most 1.7 of 1000 gates.
      CHECK(simulate_gates(gate, kind, 0.08, 0, 1000, 10, {2}).n_regressed <= 3);
      if (n_pairs == 14) CHECK(simulate_gates(gate, kind, 0.05, 0.25, 300, 11, {2}).n_regressed >= 270);
    }
  }
}

TEST_CASE("a simulation follows from its seed, on any number of threads") {
  const PairedGate gate(interleaved_rule(), pull_request_plan(), kCells);
  const auto counts = [&](std::uint64_t seed, int n_threads) {
    return simulate_gates(gate, NoiseKind::kBursts, 0.08, 0.10, 100, seed, {n_threads});
  };
  CHECK(counts(5, 1).n_regressed == counts(5, 3).n_regressed);
  CHECK(counts(5, 1).n_pairs == counts(5, 3).n_pairs);
  CHECK(counts(5, 1).n_pairs != counts(6, 1).n_pairs);
}

TEST_CASE("an interrupt ends a simulation before its next trial") {
  InterruptFlag interrupt;
  interrupt.request();
  const PairedGate gate(interleaved_rule(), pull_request_plan(), kCells);
  const SimulationWork work{.n_threads = 2, .interrupt = &interrupt};
  CHECK(simulate_gates(gate, NoiseKind::kBursts, 0.08, 0.10, 1'000'000'000, 5, work).n_gates() == 0);
  CHECK(simulate_false_families(gate, NoiseKind::kBursts, 0.08, kCells, 1'000'000'000, 5, work) == 0);
}

TEST_CASE("measured pairs are judged in stretches and by drawing from them, slowed as asked") {
  const PairedGate gate(interleaved_rule(), pull_request_plan(), 2);
  PairPool pool;
  NoiseStream stream(NoiseKind::kGaussian, 0.03, 9);
  for (int pair = 0; pair < 90; ++pair) pool.push_back({stream.next(), stream.next()});
  CHECK(disjoint_gates(gate, pool, 0).n_passed == 3);  // 90 / 28
  CHECK(disjoint_gates(gate, pool, 0.25).n_regressed == 3);
  CHECK(resample_gates(gate, pool, Drawing::kSwapSides, 0, 50, 1, {2}).n_passed == 50);
  CHECK(resample_gates(gate, pool, Drawing::kSwapSides, 0.25, 50, 1, {2}).n_regressed == 50);
  for (std::vector<double>& row : pool) row[1] += std::log(1.25);
  CHECK(resample_gates(gate, pool, Drawing::kKeepSides, 0, 50, 1, {2}).n_regressed == 50);
}
