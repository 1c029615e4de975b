// Expected values: the positions of the changes from Apache Otava 0.8.0 (compute_change_points), p from SciPy 1.17.1
// (scipy.stats.ttest_ind) between the stretches.

#include "stats/change_points.h"

#include <cstdint>
#include <vector>

#include "support/catch.h"

using namespace secondsource;

namespace {

struct Level {
  double value;
  int n;
};

/// Levels with nearly normal noise: the sum of twelve uniforms minus six, from a linear congruential generator, so that
/// another program can make the same series.
std::vector<double> noisy(std::uint64_t seed, std::initializer_list<Level> levels, double sigma = 0.02) {
  std::vector<double> series;
  std::uint64_t state = seed;
  for (const Level& level : levels) {
    for (int i = 0; i < level.n; ++i) {
      double sum = 0;
      for (int k = 0; k < 12; ++k) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        sum += static_cast<double>(state >> 11) / 0x1p53;
      }
      series.push_back(level.value + sigma * (sum - 6));
    }
  }
  return series;
}

}  // namespace

TEST_CASE("change points are where Otava finds them, with Student's p") {
  const auto one = find_change_points(noisy(1, {{1, 40}, {1.1, 40}}), {});
  REQUIRE(one.size() == 1);
  CHECK(one[0].index == 40);
  CHECK(one[0].p == Approx(5.210043426013383e-41).epsilon(1e-6));
  CHECK(one[0].before == Approx(1).epsilon(0.01));
  CHECK(one[0].after == Approx(1.1).epsilon(0.01));

  const auto two = find_change_points(noisy(3, {{1, 70}, {1.08, 25}, {0.97, 60}}), {});
  REQUIRE(two.size() == 2);
  CHECK(two[0].index == 70);
  CHECK(two[0].p == Approx(4.679964354660417e-34).epsilon(1e-6));
  CHECK(two[1].index == 95);
  CHECK(two[1].p == Approx(3.0666984906947433e-42).epsilon(1e-6));

  const std::vector<double> hunters = {1.02, 0.95, 0.99, 1.00, 1.12, 1.00, 1.01, 0.98, 1.01, 0.96,
                                       0.50, 0.51, 0.48, 0.48, 0.55, 0.50, 0.49, 0.51, 0.50, 0.49};
  const auto of_hunter = find_change_points(hunters, {.window = 10, .max_p = 0.0001});
  REQUIRE(of_hunter.size() == 1);
  CHECK(of_hunter[0].index == 10);
  CHECK(of_hunter[0].p == Approx(3.62760632606981e-17).epsilon(1e-6));
}

TEST_CASE("a level series has no change point, nor has one too short to tell") {
  CHECK(find_change_points(noisy(2, {{1, 120}}), {}).empty());
  CHECK(find_change_points({}, {}).empty());
  CHECK(find_change_points(std::vector<double>{1, 2}, {}).empty());
  CHECK(find_change_points(std::vector<double>(60, 1.0), {}).empty());
}

TEST_CASE("a change smaller, or a stretch shorter, than wanted is not reported; a sudden exact one is") {
  const std::vector<double> small = noisy(1, {{1, 60}, {1.03, 60}}, 0.005);
  CHECK(find_change_points(small, {}).size() == 1);
  CHECK(find_change_points(small, {.min_difference = 0.05}).empty());
  std::vector<double> spikes = small;
  spikes.resize(60);
  spikes[58] = spikes[59] = 1.4;
  CHECK(find_change_points(spikes, {}).size() == 1);
  CHECK(find_change_points(spikes, {.min_stretch = 3}).empty());
  std::vector<double> step(30, 1.0);
  step.insert(step.end(), 30, 2.0);
  const auto found = find_change_points(step, {});
  REQUIRE(found.size() == 1);
  CHECK(found[0].index == 30);
  CHECK(found[0].p == 0);
}
