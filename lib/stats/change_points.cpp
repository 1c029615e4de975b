#include "stats/change_points.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "stats/distribution.h"

namespace secondsource {
namespace {

/// Hunter's first pass accepts weaker points; the second pass judges them again against their final neighbours.
constexpr double kFirstPassFactor = 10;

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double squares_around(std::span<const double> values, double center) {
  double sum = 0;
  for (const double value : values) sum += (value - center) * (value - center);
  return sum;
}

ChangePoint compare(std::span<const double> left, std::span<const double> right, std::size_t index) {
  ChangePoint point{.index = index, .before = mean(left), .after = mean(right)};
  const auto n_left = static_cast<double>(left.size());
  const auto n_right = static_cast<double>(right.size());
  const double degrees = n_left + n_right - 2;
  if (degrees <= 0) return point;
  const double variance = (squares_around(left, point.before) + squares_around(right, point.after)) / degrees;
  const double error = std::sqrt(variance * (1 / n_left + 1 / n_right));
  const double difference = std::abs(point.after - point.before);
  point.p = error > 0 ? 2 * student_t_cdf(-difference / error, degrees) : difference > 0 ? 0.0 : 1.0;
  return point;
}

struct Division {
  std::size_t index = 0;
  double strength = 0;
};

/// The division of `segment` into a left part [0, index) and a right part [index, end) that maximises, over both index
/// and end, 2/(m+n) sum |x_i - y_j| - 2m/((m+n)(n-1)) sum |x_i - x_k| - 2n/((m+n)(m-1)) sum |y_j - y_l|, for n points x
/// on the left and m points y on the right. The segment must have at least two points.
Division best_division(std::span<const double> segment) {
  Division best{.index = 1, .strength = -1};
  double within_left = 0;
  for (std::size_t index = 1; index < segment.size(); ++index) {
    for (std::size_t i = 0; i + 1 < index; ++i) within_left += std::abs(segment[i] - segment[index - 1]);
    const auto n = static_cast<double>(index);
    double between = 0;
    double within_right = 0;
    for (std::size_t end = index + 1; end <= segment.size(); ++end) {
      for (std::size_t i = 0; i < index; ++i) between += std::abs(segment[i] - segment[end - 1]);
      for (std::size_t i = index; i + 1 < end; ++i) within_right += std::abs(segment[i] - segment[end - 1]);
      const auto m = static_cast<double>(end - index);
      double strength = 2 / (m + n) * between;
      if (n > 1) strength -= 2 * m / ((m + n) * (n - 1)) * within_left;
      if (m > 1) strength -= 2 * n / ((m + n) * (m - 1)) * within_right;
      if (strength > best.strength) best = {index, strength};
    }
  }
  return best;
}

/// The stretch number `which` of the cuts.size() + 1 stretches between `cuts`.
std::span<const double> stretch(std::span<const double> series, const std::vector<std::size_t>& cuts,
                                std::size_t which) {
  const std::size_t begin = which == 0 ? 0 : cuts[which - 1];
  const std::size_t end = which == cuts.size() ? series.size() : cuts[which];
  return series.subspan(begin, end - begin);
}

/// Divides one window again and again until the two sides of the strongest division do not differ enough.
std::vector<std::size_t> divide(std::span<const double> window, double max_p) {
  std::vector<std::size_t> cuts;
  while (true) {
    std::optional<Division> best;
    std::size_t best_begin = 0;
    std::size_t best_size = 0;
    for (std::size_t which = 0; which <= cuts.size(); ++which) {
      const std::span<const double> segment = stretch(window, cuts, which);
      if (segment.size() < 2) continue;
      const Division division = best_division(segment);
      if (best && division.strength <= best->strength) continue;
      best = division;
      best_begin = which == 0 ? 0 : cuts[which - 1];
      best_size = segment.size();
    }
    if (!best) return cuts;
    const std::span<const double> segment = window.subspan(best_begin, best_size);
    if (compare(segment.first(best->index), segment.subspan(best->index), 0).p > max_p) return cuts;
    const std::size_t cut = best_begin + best->index;
    cuts.insert(std::upper_bound(cuts.begin(), cuts.end(), cut), cut);
  }
}

std::vector<std::size_t> split(std::span<const double> series, const ChangePointRule& rule) {
  std::vector<std::size_t> cuts;
  const std::size_t window = std::max<std::size_t>(rule.window, 4);
  std::size_t start = 0;
  while (start < series.size()) {
    const std::size_t size = std::min(window, series.size() - start);
    const std::vector<std::size_t> found = divide(series.subspan(start, size), kFirstPassFactor * rule.max_p);
    for (const std::size_t cut : found) cuts.push_back(start + cut);
    const std::size_t last = found.empty() ? 0 : start + found.back();
    start = std::max(last, start + window / 2);
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  return cuts;
}

std::vector<ChangePoint> judge(std::span<const double> series, const std::vector<std::size_t>& cuts,
                               std::size_t min_stretch) {
  std::vector<ChangePoint> points;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const std::span<const double> left = stretch(series, cuts, i);
    const std::span<const double> right = stretch(series, cuts, i + 1);
    points.push_back(compare(left, right, cuts[i]));
    if (std::min(left.size(), right.size()) < min_stretch) points.back().p = 1;
  }
  return points;
}

}  // namespace

std::vector<ChangePoint> find_change_points(std::span<const double> series, const ChangePointRule& rule) {
  std::vector<std::size_t> cuts = split(series, rule);
  while (true) {
    const std::vector<ChangePoint> points = judge(series, cuts, rule.min_stretch);
    if (points.empty()) return points;
    const auto difference = [](const ChangePoint& point) { return std::abs(point.after - point.before); };
    auto weakest = std::max_element(points.begin(), points.end(),
                                    [](const ChangePoint& a, const ChangePoint& b) { return a.p < b.p; });
    if (weakest->p < rule.max_p) {
      weakest = std::min_element(points.begin(), points.end(), [&](const ChangePoint& a, const ChangePoint& b) {
        return difference(a) < difference(b);
      });
      if (difference(*weakest) >= rule.min_difference) return points;
    }
    cuts.erase(cuts.begin() + (weakest - points.begin()));
  }
}

}  // namespace secondsource
