#pragma once
// Wilcoxon's signed-rank test on paired differences, and the estimate and bounds that belong to it. All of it is about
// the Walsh averages (x_i + x_j) / 2, i <= j: their median is Hodges and Lehmann's estimate of the centre, the number
// of positive ones is Wilcoxon's W+, and the bounds that invert the test are two of them in order (Hollander, Wolfe and
// Chicken, Nonparametric Statistical Methods, 3rd edition, sections 3.1 to 3.3). No distribution is assumed: that the
// sign of a difference is a fair coin when nothing changed is what a coin that decides who goes first provides.
//
//   const WalshAverages walsh(differences);
//   const SignedRankDistribution null(differences.size());
//   walsh.estimate(), null.upper_tail(walsh.n_positive()), walsh.lower_bound(null, 0.0025)
//
// Zeros and ties: a Walsh average of exactly zero counts as not positive. Any way of breaking the ties counts at least
// as many, so p is never smaller than it should be.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace secondsource {

/// The distribution of W+ when every sign is a fair coin, for n distinct magnitudes. Exact, by adding one rank after
/// the other; n * n * (n + 1) / 2 additions, which is a millisecond at n = 100.
class SignedRankDistribution {
 public:
  explicit SignedRankDistribution(std::int64_t n);
  /// P(W+ >= w)
  [[nodiscard]] double upper_tail(std::int64_t w) const;
  /// The largest k with P(W+ < k) <= alpha: the k-th smallest Walsh average is a one-sided lower bound at 1 - alpha,
  /// the k-th largest an upper one. 0 when n is too small for any (2^-n > alpha).
  [[nodiscard]] std::int64_t bound_rank(double alpha) const;

 private:
  std::vector<double> at_least_;  ///< P(W+ >= w), w = 0 ... n (n + 1) / 2
};

class WalshAverages {
 public:
  /// n differences give n (n + 1) / 2 averages.
  explicit WalshAverages(std::span<const double> differences);

  /// Their median. There must be at least one difference.
  [[nodiscard]] double estimate() const;
  /// W+, and W+ of the opposite differences.
  [[nodiscard]] std::int64_t n_positive() const;
  [[nodiscard]] std::int64_t n_negative() const;
  /// The k-th smallest and the k-th largest, k counted from 1.
  [[nodiscard]] double smallest(std::int64_t k) const { return ascending_[static_cast<std::size_t>(k - 1)]; }
  [[nodiscard]] double largest(std::int64_t k) const {
    return ascending_[ascending_.size() - static_cast<std::size_t>(k)];
  }
  /// One-sided bounds of the centre, wrong with probability alpha at most; minus and plus infinity where the sample is
  /// too small for one.
  [[nodiscard]] double lower_bound(const SignedRankDistribution& null, double alpha) const;
  [[nodiscard]] double upper_bound(const SignedRankDistribution& null, double alpha) const;

 private:
  std::vector<double> ascending_;
};

}  // namespace secondsource
