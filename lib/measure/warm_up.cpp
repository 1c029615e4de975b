#include "measure/warm_up.h"

#include <algorithm>

namespace secondsource {

WarmUpState judge_warm_up(const WarmUpRule& rule, std::span<const double> values, std::int64_t spent_ns) {
  const auto n_agreeing = static_cast<std::size_t>(rule.n_agreeing);
  if (values.size() >= n_agreeing && n_agreeing > 0) {
    const auto last = values.last(n_agreeing);
    const auto [smallest, largest] = std::minmax_element(last.begin(), last.end());
    if (*largest - *smallest <= rule.tolerance * *smallest) return WarmUpState::kSteady;
  }
  const bool exhausted = values.size() >= static_cast<std::size_t>(rule.max_windows) || spent_ns >= rule.max_time_ns;
  return exhausted ? WarmUpState::kGaveUp : WarmUpState::kContinue;
}

}  // namespace secondsource
