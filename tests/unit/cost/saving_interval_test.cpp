// The expected bounds are those of all combinations, gone through one by one.

#include "cost/saving_interval.h"

#include <algorithm>
#include <random>

#include "support/catch.h"

using namespace secondsource;

namespace {

/// Costs with as little order as possible: neither alternative rises or falls steadily with the place.
std::vector<CostsByPlace> random_inputs(std::mt19937& random, std::size_t n_inputs, std::size_t n_places) {
  std::uniform_real_distribution<double> usd(0, 1000);
  std::vector<CostsByPlace> inputs(n_inputs, CostsByPlace(n_places));
  for (CostsByPlace& places : inputs) {
    for (CostPair& costs : places) costs = {.stay = usd(random), .option = usd(random)};
  }
  return inputs;
}

struct Bounds {
  double usd_low = 1e300, usd_high = -1e300, percent_low = 1e300, percent_high = -1e300;
};

Bounds bounds_of_all(const CostPair& total, std::span<const CostsByPlace> inputs) {
  if (inputs.empty()) {
    const double usd = total.stay - total.option;
    return {usd, usd, 100 * usd / total.stay, 100 * usd / total.stay};
  }
  Bounds all;
  for (const CostPair& costs : inputs.front()) {
    const Bounds one = bounds_of_all({total.stay + costs.stay, total.option + costs.option}, inputs.subspan(1));
    all.usd_low = std::min(all.usd_low, one.usd_low);
    all.usd_high = std::max(all.usd_high, one.usd_high);
    all.percent_low = std::min(all.percent_low, one.percent_low);
    all.percent_high = std::max(all.percent_high, one.percent_high);
  }
  return all;
}

}  // namespace

TEST_CASE("the bounds of a saving are those of all combinations of places") {
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    const std::vector<CostsByPlace> inputs = random_inputs(random, 1 + i % 4, 2 + i % 8);
    const CostPair fixed{.stay = 10, .option = 500.0 * (i % 3)};
    CostPair known = fixed;
    for (const CostsByPlace& places : inputs) {
      known.stay += places.front().stay;
      known.option += places.front().option;
    }
    const Saving saving = saving_interval(known, fixed, inputs);
    const Bounds all = bounds_of_all(fixed, inputs);
    CAPTURE(i);
    CHECK(*saving.usd.low == Approx(all.usd_low));
    CHECK(*saving.usd.high == Approx(all.usd_high));
    CHECK(*saving.percent.low == Approx(all.percent_low));
    CHECK(*saving.percent.high == Approx(all.percent_high));
  }
}

TEST_CASE("twenty inputs are no more work than twenty times one") {
  std::mt19937 random(7);
  const std::vector<CostsByPlace> inputs = random_inputs(random, 20, 9);  // 9^20 combinations
  const Saving saving = saving_interval({.stay = 10000, .option = 9000}, {.stay = 10, .option = 0}, inputs);
  CHECK(*saving.usd.low < 1000);
  CHECK(*saving.usd.high > 1000);
}

TEST_CASE("a difference that only the order of the arithmetic makes is none") {
  const double a = 0.1 + 0.2;
  CHECK(a != 0.3);
  CHECK(saved_usd({.stay = 0.3, .option = a}) == 0);
  CHECK(saved_percent({.stay = a, .option = 0.3}) == 0);
  CHECK(saved_percent({.stay = 100, .option = 99.999}) == Approx(0.001));
}
