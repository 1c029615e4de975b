#pragma once
// The verdict on freely generated tokens of a timed request. The golden pass judges every position by forced decode;
// here the request goes its own way, so it is judged as far as it can be: up to its first near tie.

#include <cstdint>
#include <optional>
#include <span>

#include "bundle/expected.h"

namespace secondsource {

struct TimedVerdict {
  std::int32_t verified_tokens = 0;  ///< equal to the reference's, from the first on
  std::optional<std::int32_t> near_tie_at;
  std::optional<std::int32_t> wrong_at;
};

/// Compares position by position until the reference has no more ids, or the two part: at a near tie (the reference
/// itself gave the candidate's token at most tau less than its best, and it is among the stored top) judging ends
/// there; elsewhere it is wrong there.
/// Timed runs never sample an end of text, so the reference's own is left out of the comparison.
[[nodiscard]] TimedVerdict judge_timed_tokens(std::span<const std::int32_t> ids, const ExpectedOutput& expected,
                                              double near_tie_tau);

}  // namespace secondsource
