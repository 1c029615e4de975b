#pragma once
// The record of a golden pass.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"
#include "record/schema_text.h"

namespace secondsource {

enum class GoldenVerdict : std::uint8_t {
  kPassed,
  kFailed,
  kUnverified,   ///< the bundle has no independent expected outputs
  kNotRun,       ///< the backend did not reach its golden pass
  kUnavailable,  ///< there is no such backend
};
SS_ENUM_NAMES(GoldenVerdict, "passed", "failed", "unverified", "not run", "unavailable")
SS_SCHEMA_SAYS_STRING(GoldenVerdict)

/// How much of a system's answers a verdict could see; docs/correctness.md defines what each level judges.
enum class VerdictLevel : std::uint8_t {
  kLogits,   ///< as for our own backends: the best id and the distribution at every position
  kForced,   ///< the best id at every position, with the reference's ids in front of it
  kLogprob,  ///< the log-probability of the reference's id at every position, without alternatives
  kGreedy,   ///< the ids that the system generates, up to the first that differs
  kText,     ///< the text that the system generates, up to the first difference
};
SS_ENUM_NAMES(VerdictLevel, "logits", "forced", "logprob", "greedy", "text")

/// What a verdict of this level cannot see, as the end of a sentence.
[[nodiscard]] std::string_view blind_spot(VerdictLevel level);

/// The verdict on the tokens that a backend generates: the line `"type": "golden"`.
struct GoldenRecord {
  std::string bundle;
  std::string backend;
  std::string variant;
  std::string suite;
  GoldenVerdict verdict = GoldenVerdict::kNotRun;
  std::vector<std::string> reasons;
  std::int32_t n_prompts = 0;
  /// Prompts that this backend does not run (the reference: beyond 2K tokens); `reasons` says why.
  std::int32_t n_skipped = 0;
  std::int64_t n_positions = 0;
  std::int64_t n_match = 0;
  std::int64_t n_near_tie = 0;
  std::int64_t n_wrong = 0;
  std::optional<double> kl_mean;
  std::optional<double> kl_worst;
  std::optional<double> nll_difference_mean;
  std::int64_t duration_ns = 0;
  /// Prompts of this pass that state an answer, and how many of them the backend and the reference begin with it; empty
  /// if answers were not judged.
  std::optional<std::int32_t> n_answers, n_answers_right, n_reference_answers_right;
  /// Prompts whose text the backend generated freely and streamed; empty if the bundle has none.
  std::optional<std::int32_t> n_streamed;
  /// Empty for our own backends, whose logits are all seen.
  std::optional<VerdictLevel> level;
  /// Requests that were sent a second time, and then all together; how many of them had the same answer as before.
  /// Empty if that was not tried.
  std::optional<std::int32_t> n_repeated, n_same_twice, n_same_in_batch;
};
SS_FIELDS(GoldenRecord, bundle, backend, variant, suite, verdict, reasons, n_prompts, n_skipped, n_positions, n_match,
          n_near_tie, n_wrong, kl_mean, kl_worst, nll_difference_mean, duration_ns, n_answers, n_answers_right,
          n_reference_answers_right, n_streamed, level, n_repeated, n_same_twice, n_same_in_batch)
SS_ADDED_FIELDS(GoldenRecord, n_answers, n_answers_right, n_reference_answers_right, n_streamed, level, n_repeated,
                n_same_twice, n_same_in_batch)

}  // namespace secondsource
