#include "systems/pool_verdict.h"

#include <algorithm>
#include <optional>
#include <string>

namespace secondsource {

void add_verdict(const GoldenRecord& one, GoldenRecord& all) {
  const auto badness = [](GoldenVerdict verdict) {
    return verdict == GoldenVerdict::kPassed ? 0 : verdict == GoldenVerdict::kFailed ? 2 : 1;
  };
  if (badness(one.verdict) > badness(all.verdict)) all.verdict = one.verdict;
  for (const std::string& reason : one.reasons) all.reasons.push_back(one.bundle + ": " + reason);
  if (one.kl_mean && one.n_positions > 0) {
    const auto before = static_cast<double>(all.n_positions);
    const auto added = static_cast<double>(one.n_positions);
    const auto mean_of = [&](const std::optional<double>& so_far, double value) {
      return (so_far.value_or(0) * before + value * added) / (before + added);
    };
    all.kl_mean = mean_of(all.kl_mean, *one.kl_mean);
    if (one.nll_difference_mean) all.nll_difference_mean = mean_of(all.nll_difference_mean, *one.nll_difference_mean);
  }
  if (one.kl_worst) all.kl_worst = std::max(all.kl_worst.value_or(0), *one.kl_worst);
  all.n_prompts += one.n_prompts;
  all.n_skipped += one.n_skipped;
  all.n_positions += one.n_positions;
  all.n_match += one.n_match;
  all.n_near_tie += one.n_near_tie;
  all.n_wrong += one.n_wrong;
  const auto add = [](const std::optional<std::int32_t>& from, std::optional<std::int32_t>& to) {
    if (from) to = to.value_or(0) + *from;
  };
  add(one.n_answers, all.n_answers);
  add(one.n_answers_right, all.n_answers_right);
  add(one.n_reference_answers_right, all.n_reference_answers_right);
  add(one.n_streamed, all.n_streamed);
  add(one.n_repeated, all.n_repeated);
  add(one.n_same_twice, all.n_same_twice);
  add(one.n_same_in_batch, all.n_same_in_batch);
  all.level = std::max(all.level, one.level);  // the level that sees least
}

}  // namespace secondsource
