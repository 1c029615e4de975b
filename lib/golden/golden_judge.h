#pragma once
// Judges the output of a backend for a golden prompt, as docs/correctness.md defines it. Pure functions of the
// reference's record and the candidate's logits.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/expected.h"
#include "bundle/manifest.h"

namespace secondsource {

/// A rest bucket below this value consists only of rounding errors of the stored log-probabilities
/// (docs/bundle-format.md).
inline constexpr double kRestFloor = 1e-6;

enum class PositionKind : std::uint8_t {
  kMatch,  ///< the candidate's best id is the reference's
  /// Another id, which is among the reference's stored top ids and whose logit there is at most tau below the best.
  kNearTie,
  kWrong,
  kNonFinite,
  kUnsteady,  ///< finite; the reference's record excludes this position from the verdict
};

struct PositionJudgement {
  PositionKind kind = PositionKind::kMatch;
  std::int32_t best_id = -1;  ///< the candidate's best id
  /// The reference's logit of its own best id minus that of the candidate's; infinity if the latter is not stored.
  double reference_gap = 0.0;
  double kl = 0.0;  ///< KL(reference || candidate) over the stored top and a rest bucket, in nats
  /// Negative log-likelihood of the reference's id: the candidate's minus the reference's, in nats.
  double nll_difference = 0.0;
};

/// Judges one position; `logits` are those of the distribution from which expected.ids[index] would be chosen.
[[nodiscard]] PositionJudgement judge_position(const ExpectedOutput& expected, std::size_t index,
                                               std::span<const float> logits, double near_tie_tau);

/// Judges a position at which only the candidate's best id is known and, if `log_probability` is given, the
/// log-probability that the candidate assigns to expected.ids[index]. KL is 0.
[[nodiscard]] PositionJudgement judge_best_id(const ExpectedOutput& expected, std::size_t index, std::int32_t best_id,
                                              std::optional<double> log_probability, double near_tie_tau);

/// Judges a position at which the candidate's best id and its log-probabilities of the ids in expected.top[index], in
/// that order, are known. This is all that judge_position() takes from logits. A log-probability that is not finite
/// means that the logits were not finite.
[[nodiscard]] PositionJudgement judge_distribution(const ExpectedOutput& expected, std::size_t index,
                                                   std::int32_t best_id, std::span<const double> log_probabilities,
                                                   double near_tie_tau);

/// Judges a position at which only the log-probability of expected.ids[index] is known. As long as no logit moves by
/// more than tau relative to that of the reference's id, this log-probability does not move by more than tau either; a
/// larger difference is therefore wrong. The best id stays unknown, so there are no near ties. KL is 0.
[[nodiscard]] PositionJudgement judge_log_probability(const ExpectedOutput& expected, std::size_t index,
                                                      double log_probability, double near_tie_tau);

struct StreamJudgement {
  PositionKind kind = PositionKind::kMatch;
  std::int64_t n_equal = 0;  ///< leading ids that are equal to the reference's
};

/// Judges the ids that a backend generated freely, end of text included. They are right if all equal the reference's,
/// or if the first difference is a near tie or at an unsteady position, after which the two texts cannot be compared.
/// Any other difference is wrong, and so are too few or too many ids.
[[nodiscard]] StreamJudgement judge_stream(const ExpectedOutput& expected, std::span<const std::int32_t> ids,
                                           double near_tie_tau);

/// A text that a system generated freely, and how it ended.
struct GeneratedText {
  std::string_view text;
  bool ended = false;  ///< by the end of text, not by its length
};

/// The text of ids, without special tokens.
using DecodeIds = std::function<std::string(std::span<const std::int32_t> ids)>;

/// Judges a text whose ids are not known. It is right if it equals the text of the reference's ids, or if the first
/// difference is a near tie: another of the reference's stored ids within tau continues as the text does (or, where the
/// text ends, is one of `eos_ids`). A character that is cut off at the end is ignored.
[[nodiscard]] StreamJudgement judge_text(const ExpectedOutput& expected, const GeneratedText& generated,
                                         const DecodeIds& decode, std::span<const std::int32_t> eos_ids,
                                         double near_tie_tau);

/// True if the text begins with the answer; whitespace before it does not count.
[[nodiscard]] bool begins_with_answer(std::string_view text, std::string_view answer);

/// Sums of judgements over positions.
struct GoldenTally {
  std::int64_t n_positions = 0;
  std::int64_t n_match = 0;
  std::int64_t n_near_tie = 0;
  std::int64_t n_wrong = 0;
  std::int64_t n_non_finite = 0;
  std::int64_t n_unsteady = 0;        ///< not contained in n_positions or any other figure
  std::int64_t n_reference_near = 0;  ///< positions where the reference's own margin is at most tau
  double kl_sum = 0.0;
  double kl_worst = 0.0;
  double nll_difference_sum = 0.0;

  void add(const PositionJudgement& judgement, double reference_margin, double near_tie_tau);
  /// Means over the positions with finite logits; 0 if there is none.
  [[nodiscard]] double kl_mean() const;
  [[nodiscard]] double nll_difference_mean() const;
  [[nodiscard]] std::int64_t near_tie_limit() const;  ///< max(2, half of n_reference_near)
  /// True if a pass only excludes large errors: at more than half of the positions the reference's two best ids are
  /// within tau, so that rounding alone may swap them.
  [[nodiscard]] bool is_weak() const;
};

/// Every rule of the golden pass that the tally breaks, as a sentence with both numbers; empty if it passed.
[[nodiscard]] std::vector<std::string> broken_rules(const GoldenTally& tally, const Acceptance& acceptance);

/// Limits of the pass rules, as multiples of the bundle's envelope.
inline constexpr double kMaxKlMeanOverEnvelope = 3.0;
inline constexpr double kMaxKlWorstOverEnvelope = 10.0;
inline constexpr double kMaxNllOverEnvelope = 3.0;
/// Limits of KL and NLL are never below these. For a model that is certain of every token the envelope is near 0, and a
/// multiple of it would be meaningless: probabilities of 1 - 1e-15 and 1 - 1e-14 are the same in FP32. Real models in
/// bf16 and f16 have a mean KL of 1e-6 and above.
inline constexpr double kNegligibleKl = 1e-9;
inline constexpr double kNegligibleNll = 1e-6;

}  // namespace secondsource
