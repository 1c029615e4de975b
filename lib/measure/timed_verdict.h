#pragma once
// Judges the freely generated tokens of a timed request. The golden pass judges every position by forced decode; here
// the request follows its own tokens, so it can only be judged up to its first near tie.

#include <cstdint>
#include <optional>
#include <span>

#include "bundle/expected.h"

namespace secondsource {

struct TimedVerdict {
  std::int32_t verified_tokens = 0;  ///< leading tokens that are equal to the reference's
  std::optional<std::int32_t> near_tie_at;
  std::optional<std::int32_t> wrong_at;
};

/// Compares position by position until the reference has no more ids or the two differ. If they differ at a near tie
/// (the reference's own score for the candidate's token is at most tau below its best, and the token is among the
/// stored top) or at an unsteady position, judging ends there; any other difference is a wrong token. Timed runs never
/// sample an end of text, so the reference's end of text is left out of the comparison.
[[nodiscard]] TimedVerdict judge_timed_tokens(std::span<const std::int32_t> ids, const ExpectedOutput& expected,
                                              double near_tie_tau);

}  // namespace secondsource
