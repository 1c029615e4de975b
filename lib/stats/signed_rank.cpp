#include "stats/signed_rank.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "stats/quantile.h"

namespace secondsource {

SignedRankDistribution::SignedRankDistribution(std::int64_t n) {
  const auto n_values = static_cast<std::size_t>(n * (n + 1) / 2 + 1);
  std::vector<double> probability(n_values, 0.0);
  probability[0] = 1.0;
  std::size_t largest = 0;
  for (std::size_t rank = 1; rank <= static_cast<std::size_t>(n); ++rank) {
    largest += rank;
    // Counting down, so that probability[w - rank] has not been updated for this rank yet.
    for (std::size_t w = largest; w >= rank; --w) probability[w] = 0.5 * (probability[w] + probability[w - rank]);
    for (std::size_t w = 0; w < rank; ++w) probability[w] *= 0.5;
  }
  at_least_ = std::move(probability);
  for (std::size_t w = n_values - 1; w > 0; --w) at_least_[w - 1] += at_least_[w];
}

double SignedRankDistribution::upper_tail(std::int64_t w) const {
  if (w <= 0) return 1.0;
  const auto index = static_cast<std::size_t>(w);
  return index < at_least_.size() ? at_least_[index] : 0.0;
}

std::int64_t SignedRankDistribution::bound_rank(double alpha) const {
  // W+ is symmetric, so P(W+ < k) = P(W+ > largest - k).
  const auto largest = static_cast<std::int64_t>(at_least_.size()) - 1;
  std::int64_t k = 0;
  while (k < largest && upper_tail(largest - k) <= alpha) ++k;
  return k;
}

WalshAverages::WalshAverages(std::span<const double> differences) {
  SS_CHECK(!differences.empty(), "Walsh averages of nothing");
  ascending_.reserve(differences.size() * (differences.size() + 1) / 2);
  for (std::size_t i = 0; i < differences.size(); ++i) {
    for (std::size_t j = i; j < differences.size(); ++j) ascending_.push_back(0.5 * (differences[i] + differences[j]));
  }
  std::sort(ascending_.begin(), ascending_.end());
}

double WalshAverages::estimate() const {
  return quantile_of_sorted(ascending_, 0.5);
}

std::int64_t WalshAverages::n_positive() const {
  return ascending_.end() - std::upper_bound(ascending_.begin(), ascending_.end(), 0.0);
}

std::int64_t WalshAverages::n_negative() const {
  return std::lower_bound(ascending_.begin(), ascending_.end(), 0.0) - ascending_.begin();
}

double WalshAverages::lower_bound(const SignedRankDistribution& null, double alpha) const {
  const std::int64_t k = null.bound_rank(alpha);
  return k == 0 ? -std::numeric_limits<double>::infinity() : smallest(k);
}

double WalshAverages::upper_bound(const SignedRankDistribution& null, double alpha) const {
  const std::int64_t k = null.bound_rank(alpha);
  return k == 0 ? std::numeric_limits<double>::infinity() : largest(k);
}

}  // namespace secondsource
