#include "cost/break_even.h"

#include <cmath>

#include "cost/saving_interval.h"

namespace secondsource {

std::optional<double> break_even_price(double target_usd, double other_usd, double hours) {
  if (!(hours > 0) || !(saved_usd({.stay = target_usd, .option = other_usd}) > 0)) return std::nullopt;
  return (target_usd - other_usd) / hours;
}

LoadBreakEven break_even_load(const std::function<double(double)>& own, const std::function<double(double)>& other,
                              double low, double high) {
  constexpr int kLoads = 2000;
  const auto wins = [&](double load) { return saved_usd({.stay = other(load), .option = own(load)}) >= 0; };
  const auto load_at = [&](int i) { return low * std::pow(high / low, static_cast<double>(i) / (kLoads - 1)); };
  // Bisects between a load that loses and a larger one that wins.
  const auto bisect = [&](double loses, double winning) {
    for (int i = 0; i < 60; ++i) {
      const double middle = 0.5 * (loses + winning);
      (wins(middle) ? winning : loses) = middle;
    }
    return winning;
  };
  LoadBreakEven result;
  bool won_before = false;
  for (int i = 0; i < kLoads; ++i) {
    const bool wins_here = wins(load_at(i));
    if (wins_here && !won_before) {
      const double begin = i == 0 ? low : bisect(load_at(i - 1), load_at(i));
      if (!result.first) result.first = begin;
      result.always = begin;
    }
    if (!wins_here) result.always.reset();
    won_before = wins_here;
  }
  return result;
}

}  // namespace secondsource
