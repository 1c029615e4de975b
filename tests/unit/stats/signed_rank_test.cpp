// Expected values: SciPy 1.17.1 (scipy.stats.wilcoxon, method "exact", one-sided) for data without ties; rank counts in
// exact integers (Python) for the distribution and its ranks; an enumeration of all 2^n signs (Python) for data with
// ties.

#include "stats/signed_rank.h"

#include <cmath>
#include <vector>

#include "core/random.h"
#include "support/catch.h"

using namespace secondsource;

TEST_CASE("the signed-rank distribution is exact up to 96 pairs") {
  const auto [n, w, expected] = GENERATE(table<std::int64_t, std::int64_t, double>({{5, 15, 0.03125},
                                                                                    {14, 90, 0.00830078125},
                                                                                    {14, 105, 6.103515625e-05},
                                                                                    {28, 330, 0.0014509931206703186},
                                                                                    {96, 3500, 5.51903024792932e-06},
                                                                                    {96, 2328, 0.5007255222779997}}));
  CHECK(SignedRankDistribution(n).upper_tail(w) == Approx(expected).epsilon(1e-12));
  CHECK(SignedRankDistribution(n).upper_tail(0) == 1);
  CHECK(SignedRankDistribution(n).upper_tail(n * (n + 1) / 2 + 1) == 0);
}

TEST_CASE("the rank of a bound is the largest that keeps its level, and 0 where there is none") {
  const auto [n, alpha, expected] = GENERATE(table<std::int64_t, double, std::int64_t>({{5, 0.05, 1},
                                                                                        {5, 0.03, 0},
                                                                                        {14, 0.0025, 10},
                                                                                        {14, 0.01 / 64, 2},
                                                                                        {28, 0.0025, 83},
                                                                                        {96, 0.0025, 1566},
                                                                                        {96, 0.01 / 64, 1357}}));
  CHECK(SignedRankDistribution(n).bound_rank(alpha) == expected);
}

TEST_CASE("W+ and p of paired differences agree with SciPy") {
  const std::vector<double> five = {0.050123, 0.079875, 0.022586, -0.039059, 0.004533};
  const WalshAverages few(five);
  CHECK(few.n_positive() == 12);
  CHECK(SignedRankDistribution(5).upper_tail(few.n_positive()) == Approx(0.15625));
  const std::vector<double> fourteen = {-0.049165, 0.056014,  0.184022, 0.000779, -0.012047, 0.098984, 0.085689,
                                        0.060541,  -0.043047, 0.047075, 0.11953,  -0.084421, 0.004238, -0.140122};
  const WalshAverages more(fourteen);
  CHECK(more.n_positive() == 70);
  CHECK(SignedRankDistribution(14).upper_tail(more.n_positive()) == Approx(0.14788818359375));
}

TEST_CASE("the bounds are the shifts at which the test just does not reject") {
  const std::vector<double> differences = {0.02, 0.05, -0.01, 0.08, 0.11, 0.03, 0.065, 0.014, 0.09, 0.042, 0.001};
  const SignedRankDistribution null(11);
  const WalshAverages walsh(differences);
  constexpr double kAlpha = 0.01;
  const auto p_above = [&](double shift) {
    std::vector<double> moved = differences;
    for (double& x : moved) x -= shift;
    return null.upper_tail(WalshAverages(moved).n_positive());
  };
  const double low = walsh.lower_bound(null, kAlpha);
  CHECK(p_above(low - 1e-9) <= kAlpha);
  CHECK(p_above(low + 1e-9) > kAlpha);
  std::vector<double> negative = differences;
  for (double& x : negative) x = -x;
  CHECK(walsh.upper_bound(null, kAlpha) == Approx(-WalshAverages(negative).lower_bound(null, kAlpha)));
  CHECK(low < walsh.estimate());
  CHECK(std::isinf(walsh.lower_bound(null, 0.0004)));  // alpha is below 2^-11
}

TEST_CASE("zeros and ties only ever make p larger than the exact one over all signs") {
  const auto [differences, exact] = GENERATE(table<std::vector<double>, double>({
      {{1, 1, 1, -1, 2, 2, 3, -2, 4, 5}, 0.0302734375},
      {{0, 0, 1, 2, 3, 4, 5, -1}, 0.046875},
      {{0, 0, 0, 0}, 1.0},
  }));
  const SignedRankDistribution null(static_cast<std::int64_t>(differences.size()));
  const double p = null.upper_tail(WalshAverages(differences).n_positive());
  CAPTURE(p, exact);
  CHECK(p >= exact);
}

TEST_CASE("the bounds hold as often as they say, for skewed noise with a coin's signs") {
  // 4000 samples of 14 values at a level of 1 %: at most 1.5 % (three standard errors) may violate the bound.
  RandomStream random(3);
  const SignedRankDistribution null(14);
  int wrong = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<double> differences(14);
    for (double& x : differences) {
      const double skewed = -std::log(1 - random.next_unit());
      x = random.next_bits() % 2 == 0 ? skewed : -skewed;
    }
    wrong += WalshAverages(differences).lower_bound(null, 0.01) > 0;
  }
  CHECK(wrong <= 60);
  CHECK(wrong >= 15);
}
