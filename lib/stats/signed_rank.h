#pragma once
// Wilcoxon's signed-rank test on paired differences, with the estimate and the bounds that belong to it. All of them
// come from the Walsh averages (x_i + x_j) / 2, i <= j: their median is Hodges and Lehmann's estimate of the centre,
// the number of positive averages is Wilcoxon's W+, and the bounds that invert the test are two of the sorted averages
// (Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition, sections 3.1 to 3.3). No distribution
// is assumed. The test needs the sign of a difference to be a fair coin when nothing changed, and tossing a coin for
// which side runs first ensures this.
//
//   const WalshAverages walsh(differences);
//   const SignedRankDistribution null(differences.size());
//   walsh.estimate(), null.upper_tail(walsh.n_positive()), walsh.lower_bound(null, 0.0025)
//
// Zeros and ties: a Walsh average of exactly zero counts as not positive. Any way of breaking the ties would count at
// least as many positive averages, so p is never smaller than it should be.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace secondsource {

/// The distribution of W+ for n distinct magnitudes when every sign is a fair coin. It is computed exactly by adding
/// one rank after the other, which takes n * n * (n + 1) / 2 additions: a millisecond at n = 100.
class SignedRankDistribution {
 public:
  explicit SignedRankDistribution(std::int64_t n);
  /// P(W+ >= w)
  [[nodiscard]] double upper_tail(std::int64_t w) const;
  /// The largest k with P(W+ < k) <= alpha. The k-th smallest Walsh average is a one-sided lower bound at confidence 1
  /// - alpha, and the k-th largest is an upper bound. 0 when n is too small for any bound (2^-n > alpha).
  [[nodiscard]] std::int64_t bound_rank(double alpha) const;

 private:
  std::vector<double> at_least_;  ///< P(W+ >= w), w = 0 ... n (n + 1) / 2
};

class WalshAverages {
 public:
  /// n differences give n (n + 1) / 2 averages.
  explicit WalshAverages(std::span<const double> differences);

  /// The median of the averages. There must be at least one difference.
  [[nodiscard]] double estimate() const;
  /// W+, and the W+ of the negated differences.
  [[nodiscard]] std::int64_t n_positive() const;
  [[nodiscard]] std::int64_t n_negative() const;
  /// The k-th smallest and the k-th largest average, with k counted from 1.
  [[nodiscard]] double smallest(std::int64_t k) const { return ascending_[static_cast<std::size_t>(k - 1)]; }
  [[nodiscard]] double largest(std::int64_t k) const {
    return ascending_[ascending_.size() - static_cast<std::size_t>(k)];
  }
  /// One-sided bounds on the centre that are wrong with probability at most alpha; minus or plus infinity where the
  /// sample is too small.
  [[nodiscard]] double lower_bound(const SignedRankDistribution& null, double alpha) const;
  [[nodiscard]] double upper_bound(const SignedRankDistribution& null, double alpha) const;

 private:
  std::vector<double> ascending_;
};

}  // namespace secondsource
