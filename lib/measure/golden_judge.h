#pragma once
// The judgement on what a backend makes of a golden prompt, as docs/correctness.md defines it: pure functions of the
// reference's record and the candidate's logits.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/expected.h"
#include "bundle/manifest.h"

namespace secondsource {

/// Below this the rest bucket is only rounding of the log-probabilities that it is the rest of (docs/bundle-format.md).
inline constexpr double kRestFloor = 1e-6;

enum class PositionKind : std::uint8_t {
  kMatch,    ///< the candidate's best is the reference's
  kNearTie,  ///< another one, that the reference itself gave at most tau less, and among its stored top
  kWrong,
  kNonFinite,
};

struct PositionJudgement {
  PositionKind kind = PositionKind::kMatch;
  std::int32_t best_id = -1;    ///< the candidate's
  double reference_gap = 0.0;   ///< z_R[r] - z_R[c]; infinity when c is not among the stored top
  double kl = 0.0;              ///< KL(R || candidate) over the top and a rest bucket, nats
  double nll_difference = 0.0;  ///< the candidate's minus the reference's, of the reference's id, nats
};

/// One position; `logits` are those of the distribution that would choose expected.ids[index].
[[nodiscard]] PositionJudgement judge_position(const ExpectedOutput& expected, std::size_t index,
                                               std::span<const float> logits, double near_tie_tau);

/// The sum over positions.
struct GoldenTally {
  std::int64_t n_positions = 0;
  std::int64_t n_match = 0;
  std::int64_t n_near_tie = 0;
  std::int64_t n_wrong = 0;
  std::int64_t n_non_finite = 0;
  std::int64_t n_reference_near = 0;  ///< positions where the reference's own margin is at most tau
  double kl_sum = 0.0;
  double kl_worst = 0.0;
  double nll_difference_sum = 0.0;

  void add(const PositionJudgement& judgement, double reference_margin, double near_tie_tau);
  /// Of finite positions; 0 when there is none.
  [[nodiscard]] double kl_mean() const;
  [[nodiscard]] double nll_difference_mean() const;
  [[nodiscard]] std::int64_t near_tie_limit() const;  ///< max(2, half of n_reference_near)
};

/// Every rule of the pass that the tally breaks, as a sentence with both numbers; none: it passed.
[[nodiscard]] std::vector<std::string> broken_rules(const GoldenTally& tally, const Acceptance& acceptance);

/// The factors of the pass rule.
inline constexpr double kMaxKlMeanOverEnvelope = 3.0;
inline constexpr double kMaxKlWorstOverEnvelope = 10.0;
inline constexpr double kMaxNllOverEnvelope = 3.0;

}  // namespace secondsource
