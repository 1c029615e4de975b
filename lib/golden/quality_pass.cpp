#include "golden/quality_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "golden/forced_decode.h"

namespace secondsource {
namespace {

/// The length of kLookupLengths that a prompt belongs to; nullopt beyond the last one.
std::optional<std::int64_t> lookup_length(const GoldenCase& one) {
  const auto* found = std::ranges::lower_bound(kLookupLengths, static_cast<std::int64_t>(one.prompt.ids.size()));
  return found == std::end(kLookupLengths) ? std::nullopt : std::optional(*found);
}

/// A count and its total, for a share.
struct Share {
  std::int64_t n = 0;
  std::int64_t n_all = 0;

  void add(bool counts) {
    n += counts ? 1 : 0;
    ++n_all;
  }
  [[nodiscard]] double value() const { return static_cast<double>(n) / static_cast<double>(n_all); }
};

/// Adds up the quality figures over the cases of a pass.
class QualityTally {
 public:
  void add(const GoldenCase& one, const PositionJudgement& judgement, std::size_t index) {
    // With a tolerance of 0 no other id counts as a near tie: agreement is exact.
    tally_.add(judgement, one.expected.top1_margin[index], 0.0);
    if (one.prompt.answer) best_ids_[&one].push_back(judgement.best_id);
    if (judgement.kind == PositionKind::kNonFinite && non_finite_.empty()) {
      non_finite_ =
          fmt::format("prompt {}, token {}: expected finite logits, found a NaN or an infinity", one.prompt.id, index);
    }
  }

  Result<QualityResult> conclude(const std::vector<const GoldenCase*>& cases, const Tokenizer* tokenizer) {
    if (!non_finite_.empty()) return Error{ErrorCode::kInternal, non_finite_};
    QualityResult result;
    result.n_prompts = static_cast<std::int64_t>(cases.size());
    result.n_positions = tally_.n_positions;
    const auto n_positions = static_cast<double>(tally_.n_positions);
    result.quality.kl_mean = std::max(0.0, tally_.kl_mean());
    result.quality.top1_agreement = static_cast<double>(tally_.n_match) / n_positions;
    result.quality.perplexity_ratio = std::exp(tally_.nll_difference_mean());
    if (tokenizer != nullptr) add_answers(*tokenizer, cases, result);
    return result;
  }

 private:
  void add_answers(const Tokenizer& tokenizer, const std::vector<const GoldenCase*>& cases, QualityResult& result) {
    std::map<std::int64_t, Share> right;
    Share invented;
    for (const GoldenCase* one : cases) {
      const auto length = lookup_length(*one);
      if (!one->prompt.answer || !length) continue;
      const bool is_right =
          begins_with_answer(tokenizer.decode(best_ids_[one], {.skip_special = true}), *one->prompt.answer);
      if (one->prompt.kind == PromptKind::kUnanswerable) {
        invented.add(!is_right);
      } else {
        right[*length].add(is_right);
        ++result.n_lookups;
      }
    }
    for (const auto& [length, share] : right) result.quality.lookup_accuracy[length] = share.value();
    if (invented.n_all > 0) result.quality.invented_answers = invented.value();
    result.n_unanswerable = invented.n_all;
  }

  GoldenTally tally_;
  std::map<const GoldenCase*, std::vector<std::int32_t>> best_ids_;  ///< of the prompts that state an answer
  std::string non_finite_;
};

}  // namespace

Result<QualityResult> run_quality_pass(ModelSession& session, const GoldenInputs& inputs,
                                       const GoldenPassOptions& options, Progress& progress) {
  GoldenInputs all_count = inputs;
  for (GoldenCase& one : all_count.cases) one.expected.unsteady.clear();
  const RunnableCases runnable = runnable_cases(session, all_count);
  if (runnable.cases.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("bundle {}, suite {}: expected golden prompts that can be run, found none", inputs.bundle,
                             inputs.suite)};
  }
  QualityTally tally;
  progress.begin(fmt::format("quality, {} {}", session.backend().device().backend, session.variant().name),
                 static_cast<std::int64_t>(runnable.cases.size()));
  SS_TRY_VOID(decode_forced(session.engine(), runnable.cases, options, progress,
                            [&](const GoldenCase& one, const TokenEvent& event) {
                              const auto index = static_cast<std::size_t>(event.index);
                              const bool is_lost = event.finish == FinishReason::kNonFinite;
                              tally.add(one,
                                        is_lost ? PositionJudgement{.kind = PositionKind::kNonFinite}
                                                : judge_position(one.expected, index, event.logits, 0.0),
                                        index);
                            }));
  SS_TRY(QualityResult result, tally.conclude(runnable.cases, all_count.tokenizer));
  result.skipped = inputs.left_out;
  result.skipped.insert(result.skipped.end(), runnable.skipped.begin(), runnable.skipped.end());
  return result;
}

Result<double> mean_nll_of_text(Engine& engine, std::span<const std::int32_t> ids, std::int64_t window,
                                Progress& progress, const InterruptFlag& interrupt) {
  if (ids.size() < 2 || window < 2) {
    return Error{ErrorCode::kInvalidInput, fmt::format("expected a text of two or more tokens, found {}", ids.size())};
  }
  double nll = 0.0;
  std::int64_t n_scored = 0;
  const auto window_size = static_cast<std::size_t>(window);
  progress.begin("perplexity of the text", static_cast<std::int64_t>(ids.size()));
  for (std::size_t begin = 0; begin + 1 < ids.size(); begin += window_size) {
    const auto part = ids.subspan(begin, std::min(window_size, ids.size() - begin));
    SS_TRY_VOID(engine.submit({.prompt_ids = {part.begin(), part.end()}, .max_new_tokens = 0, .score_prompt = true}));
    while (engine.has_work()) {
      SS_TRY_VOID(interrupt.check());
      SS_TRY(const std::vector<TokenEvent> events, engine.step());
      for (const TokenEvent& event : events) {
        if (event.finish == FinishReason::kNonFinite) {
          return Error{ErrorCode::kInternal, "expected finite logits of the text, found a NaN or an infinity"};
        }
        if (!event.of_prompt) continue;
        nll -= static_cast<double>(event.logprob);
        ++n_scored;
      }
    }
    progress.update(static_cast<std::int64_t>(begin + part.size()));
  }
  return nll / static_cast<double>(n_scored);
}

}  // namespace secondsource
