#include "measure/timed_verdict.h"

#include <algorithm>

namespace secondsource {

TimedVerdict judge_timed_tokens(std::span<const std::int32_t> ids, const ExpectedOutput& expected,
                                double near_tie_tau) {
  TimedVerdict verdict;
  std::size_t n_comparable = expected.ids.size();
  if (expected.finish == Finish::kEos && n_comparable > 0) --n_comparable;
  n_comparable = std::min(n_comparable, ids.size());
  for (std::size_t index = 0; index < n_comparable; ++index) {
    if (ids[index] == expected.ids[index]) {
      ++verdict.verified_tokens;
      continue;
    }
    const auto position = static_cast<std::int32_t>(index);
    const bool is_near_tie = expected.is_unsteady(index) || reference_gap(expected, index, ids[index]) <= near_tie_tau;
    (is_near_tie ? verdict.near_tie_at : verdict.wrong_at) = position;
    break;
  }
  return verdict;
}

}  // namespace secondsource
