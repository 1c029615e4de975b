// Tests the gate on interleaved pairs. operating_characteristic_test.cpp tests its error rates.

#include "gate/paired_gate.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gate/planning.h"
#include "support/catch.h"

using namespace secondsource;

namespace {

/// Returns `n` distinct differences around `change` (a ratio minus one), spread evenly over +-`spread`.
std::vector<double> around(double change, double spread, std::int64_t n) {
  std::vector<double> differences;
  for (std::int64_t i = 0; i < n; ++i) {
    const double place = (2.0 * static_cast<double>((i * 5) % n) + 1) / static_cast<double>(n) - 1;
    differences.push_back(std::log1p(change) + spread * place);
  }
  return differences;
}

PairedGate pull_request_gate(std::int64_t n_cells = 16) {
  return {interleaved_rule(), pull_request_plan(), n_cells};
}

}  // namespace

TEST_CASE("a clear regression and a clear pass end at the first look, a change near the line at the last") {
  const PairedGate gate = pull_request_gate();
  const auto slow = gate.run(around(0.25, 0.03, 28));
  REQUIRE(slow);
  CHECK(slow->decision == Decision::kRegressed);
  CHECK(slow->n_pairs == 14);
  CHECK(to_percent(slow->estimate) == Approx(25).epsilon(0.02));
  CHECK(slow->low < slow->estimate);
  const auto same = gate.run(around(0.0, 0.03, 28));
  REQUIRE(same);
  CHECK(same->decision == Decision::kPass);
  CHECK(same->n_pairs == 14);
  CHECK_FALSE(same->improved);
  const auto fast = gate.run(around(-0.3, 0.03, 28));
  REQUIRE(fast);
  CHECK(fast->decision == Decision::kPass);
  CHECK(fast->improved);
  const auto near = gate.run(around(0.095, 0.25, 28));
  REQUIRE(near);
  CHECK(near->decision == Decision::kInconclusive);
  CHECK(near->n_pairs == 28);
  CHECK(near->n_more_pairs > 0);
}

TEST_CASE("a gate that has not seen its next look says nothing") {
  const PairedGate gate = pull_request_gate();
  CHECK_FALSE(gate.run(around(0.25, 0.03, 13)));
  CHECK_FALSE(gate.run(around(0.095, 0.25, 27)));
  CHECK(gate.is_look(14));
  CHECK_FALSE(gate.is_look(15));
}

TEST_CASE("noise decides nothing: an estimate above the threshold alone is not a failure") {
  // +12 % with a spread of a factor of two in both directions.
  const auto noisy = pull_request_gate().run(around(0.12, 0.7, 28));
  REQUIRE(noisy);
  CHECK(noisy->decision == Decision::kInconclusive);
}

TEST_CASE("alpha is shared by cells and looks, and a look too small for its share cannot fail") {
  CHECK(pull_request_gate(16).alpha() == Approx(0.01 / 32));
  // The smallest p of 14 pairs is 2^-14 = 6.1e-5, but with 100 cells and 2 looks the share of alpha is 5e-5.
  const auto at_first = pull_request_gate(100).judge(around(0.5, 0.01, 14));
  CHECK(at_first.decision == Decision::kInconclusive);
  CHECK_FALSE(at_first.is_final);
  CHECK(pull_request_gate(100).judge(around(0.5, 0.01, 28)).decision == Decision::kRegressed);
}

TEST_CASE("the lower bound is required at the only look, and not at the last of several") {
  // 14 changes of 11 to 15 %, one of which is a gain: p is 0.0043, and the exact lower 99.75 % bound is -0.4 %.
  std::vector<double> differences;
  for (int i = 0; i < 14; ++i) differences.push_back((i == 11 ? -1 : 1) * std::log(1.105 + 0.003 * i));
  const PairedGate one_look(interleaved_rule(), plan_up_to(14), 1);
  const PairedVerdict verdict = one_look.judge(differences);
  CHECK(verdict.p == Approx(0.00427).epsilon(0.01));
  CHECK(verdict.p <= one_look.alpha());
  CHECK(to_percent(verdict.estimate) > 10);
  CHECK(verdict.decision == Decision::kInconclusive);
  CHECK(verdict.is_final);
  CHECK(verdict.n_more_pairs >= 1);
  // At the last of two looks the same p is enough.
  const PairedGate two_looks(interleaved_rule(), PairPlan{{7, 14}}, 1);
  CHECK(two_looks.judge(differences).decision == Decision::kRegressed);
  // A bound at 99.75 % exists from nine pairs on, so a single look at eight cannot fail, whatever they are.
  CHECK(PairedGate(interleaved_rule(), plan_up_to(8), 1).judge(around(0.5, 0.01, 8)).decision ==
        Decision::kInconclusive);
  CHECK(PairedGate(interleaved_rule(), plan_up_to(9), 1).judge(around(0.5, 0.01, 9)).decision == Decision::kRegressed);
}

TEST_CASE("the forecast of a single look counts the lower bound") {
  const double sigma_pair = 0.2;
  const PairedGate one_look(interleaved_rule(), plan_up_to(14), 1);
  // 0.2 * 1.02333 / sqrt(14) = 0.054700; ln 1.05 + (2.80703 + 2.32635) * 0.054700 = 0.3296.
  CHECK(detectable_change(sigma_pair, 14, one_look) == Approx(0.3296).epsilon(1e-3));
  // Of two looks, the last needs no bound, but half of alpha: (2.57583 + 2.32635) * 0.054700 = 0.2682.
  const PairedGate two_looks(interleaved_rule(), PairPlan{{7, 14}}, 1);
  CHECK(detectable_change(sigma_pair, 14, two_looks) == Approx(0.2682).epsilon(1e-3));
}

TEST_CASE("a comparison that ended early says how many pairs the exact test needs at least") {
  // With six cells and one look the share of alpha is 1/600, which ten pairs can reach (2^-10), and nine cannot.
  constexpr std::int64_t kFewest = 10;
  for (const std::int64_t n_pairs : {1, 7, 9}) {
    CAPTURE(n_pairs);
    const PairedGate gate(interleaved_rule(), PairPlan{{n_pairs}}, 6);
    const PairedVerdict slow = gate.judge(around(0.25, 0.01, n_pairs));
    CHECK(slow.decision == Decision::kInconclusive);
    CHECK(slow.n_more_pairs == kFewest - n_pairs);
  }
  const PairedGate enough(interleaved_rule(), PairPlan{{kFewest}}, 6);
  CHECK(enough.judge(around(0.25, 0.01, kFewest)).decision == Decision::kRegressed);
  // To pass, the upper bound at 99.75 % must exist: nine pairs.
  const PairedVerdict same = PairedGate(interleaved_rule(), PairPlan{{4}}, 6).judge(around(0, 0.01, 4));
  CHECK(same.decision == Decision::kInconclusive);
  CHECK(same.n_more_pairs == 5);
}

TEST_CASE("who goes first is a matter of the seed alone, and balanced up to every look") {
  const PairPlan plan = nightly_plan();
  const std::vector<bool> first = candidate_goes_first(plan, 7);
  CHECK(first == candidate_goes_first(plan, 7));
  CHECK(first != candidate_goes_first(plan, 8));
  REQUIRE(std::ssize(first) == plan.max_pairs());
  for (const std::int64_t look : plan.looks) {
    CHECK(std::count(first.begin(), first.begin() + look, true) == look / 2);
  }
  CHECK(plan_up_to(40).looks == std::vector<std::int64_t>{14, 28, 40});
  CHECK(plan_up_to(6).looks == std::vector<std::int64_t>{6});
}

TEST_CASE("the forecast agrees with the arithmetic of its normal approximation") {
  const PairedGate gate(interleaved_rule(), nightly_plan(), 16);
  // Computed by hand for 96 pairs with 0.08 * sqrt(2) per pair: 0.11314 * 1.0233 / 9.798 = 0.011816; ln 1.1 + 2.32635 *
  // 0.011816 = 0.1228.
  const double sigma_pair = 0.08 * std::sqrt(2.0);
  CHECK(standard_error(sigma_pair, 96) == Approx(0.011816).epsilon(1e-3));
  CHECK(detectable_change(sigma_pair, 96, gate) == Approx(0.12280).epsilon(1e-3));
  // (0.11314 * 1.0233 * 2.32635 / (ln 1.15 - ln 1.1))^2 = 36.7
  CHECK(*pairs_to_find(std::log1p(0.15), sigma_pair, gate) == 37);
  CHECK_FALSE(pairs_to_find(std::log1p(0.10), sigma_pair, gate));
  // (0.11314 * 1.0233 * (2.32635 + 2.80703) / ln 1.15)^2 = 18.1
  CHECK(pairs_to_pass(sigma_pair, gate) == 19);
}
