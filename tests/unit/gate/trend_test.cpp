#include "gate/trend.h"

#include <cmath>

#include "gate/noise_model.h"
#include "support/catch.h"

using namespace secondsource;

namespace {

/// Seconds per token for `n` nights at each level, with a standard deviation of 2 % between sittings.
std::vector<double> nights(std::initializer_list<double> levels, int n, std::uint64_t seed = 1) {
  NoiseStream noise(NoiseKind::kGaussian, 0.02, seed);
  std::vector<double> values;
  for (const double level : levels) {
    for (int i = 0; i < n; ++i) values.push_back(0.010 * level * std::exp(noise.next()));
  }
  return values;
}

}  // namespace

TEST_CASE("a change of level is found with its night and its size, better or worse") {
  const auto changes = find_level_changes(nights({1.0, 1.08, 0.9}, 40));
  REQUIRE(changes.size() == 2);
  CHECK(std::abs(static_cast<double>(changes[0].night) - 40) <= 4);
  CHECK(changes[0].change_percent == Approx(8).margin(1.5));
  CHECK(changes[1].change_percent == Approx(-16.7).margin(1.5));
}

TEST_CASE("one bad night is not a level, and quiet nights have no change") {
  std::vector<double> values = nights({1.0}, 60);
  CHECK(find_level_changes(values).empty());
  values[30] *= 1.5;
  CHECK(find_level_changes(values).empty());
  values.back() *= 1.5;
  CHECK(find_level_changes(values).empty());
}

TEST_CASE("ten losses of 3 % each, none of which the gate would stop, do not pass the anchor") {
  const GateRule rule;
  const std::vector<double> anchor = nights({1.0}, 7, 2);
  std::vector<double> before = anchor;
  double level = 1.0;
  for (int loss = 0; loss < 10; ++loss) {
    level *= 1.03;
    const std::vector<double> after = nights({level}, 7, 10 + static_cast<std::uint64_t>(loss));
    CHECK(compare_with_anchor(before, after, rule, 4)->decision != Decision::kRegressed);
    before = after;
  }
  const auto verdict = compare_with_anchor(anchor, before, rule, 4);
  REQUIRE(verdict);
  CHECK(verdict->decision == Decision::kRegressed);
  CHECK(verdict->change_percent == Approx(34).margin(4));
  CHECK(verdict->low_percent < verdict->change_percent);
  CHECK(compare_with_anchor(anchor, nights({1.0}, 7, 99), rule, 4)->decision == Decision::kPass);
}

TEST_CASE("nights that differ by 12 % are seldom called regressed, also where twenty cells share the error") {
  // One of 40 verdicts may be wrong with a probability of 0.01 / 40, so that 5 of 20000 are expected at most, and more
  // than 12 in one of 500 such simulations. A standard error from the median absolute deviation of five values gave 45.
  constexpr std::int64_t kVerdicts = 40;
  for (const NoiseKind kind : {NoiseKind::kGaussian, NoiseKind::kHeavyTailed}) {
    CAPTURE(to_string(kind));
    NoiseStream noise(kind, 0.12, 3);
    const auto draw = [&] {
      std::vector<double> values(kAnchorNights);
      for (double& value : values) value = std::exp(noise.next());
      return values;
    };
    int n_regressed = 0;
    for (int i = 0; i < 20'000; ++i) {
      const std::vector<double> anchor = draw();
      n_regressed += compare_with_anchor(anchor, draw(), GateRule{}, kVerdicts)->decision == Decision::kRegressed;
    }
    CHECK(n_regressed <= 12);
  }
}

TEST_CASE("one night that is half slower neither fails nor spoils the check of ten quiet ones") {
  std::vector<double> recent = nights({1.0}, 10, 4);
  recent[3] *= 1.5;
  CHECK(compare_with_anchor(nights({1.0}, 5, 5), recent, GateRule{}, 40)->decision == Decision::kPass);
}

TEST_CASE("an anchor of too few nights gives no verdict") {
  CHECK_FALSE(compare_with_anchor(nights({1.0}, 4), nights({1.0}, 9), GateRule{}, 1));
}
