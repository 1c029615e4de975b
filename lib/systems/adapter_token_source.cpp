#include "systems/adapter_token_source.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace secondsource {

AdapterWait AdapterTokenSource::ticking() {
  return [this] {
    progress_.update(++n_steps_);
    return Result<void>();
  };
}

bool AdapterTokenSource::takes_and_gives_ids() const {
  return endpoint_.hello().tokens == AdapterTokens::kIds;
}

std::optional<VerdictLevel> AdapterTokenSource::forced_level() const {
  switch (endpoint_.hello().forced) {
    case AdapterForced::kNone:
      break;
    case AdapterForced::kLogprob:
      return VerdictLevel::kLogprob;
    case AdapterForced::kBest:
      return VerdictLevel::kForced;
    case AdapterForced::kLogits:
      return VerdictLevel::kLogits;
  }
  return std::nullopt;
}

Result<Given<std::vector<ForcedScore>>> AdapterTokenSource::score(const GoldenCase& one) {
  AdapterScoreRequest request;
  request.ids = one.prompt.ids;
  request.n_prompt = static_cast<std::int32_t>(one.prompt.ids.size());
  // The last id is scored too, but nothing is predicted after it.
  request.ids.insert(request.ids.end(), one.expected.ids.begin(), one.expected.ids.end());
  if (endpoint_.hello().forced == AdapterForced::kLogits) {
    for (const std::vector<TopToken>& top : one.expected.top) {
      std::vector<std::int32_t>& wanted = request.wanted.emplace_back();
      for (const TopToken& token : top) wanted.push_back(token.id);
    }
  }
  SS_TRY(AdapterEndpoint::Scores scores, endpoint_.score(std::move(request), ticking()));
  Given<std::vector<ForcedScore>> given{.why_not = std::move(scores.why_not)};
  for (const AdapterScore& score : scores.scores) {
    ForcedScore read{.best_id = score.best, .log_probability = score.logprob};
    for (const auto& value : score.wanted) read.top.push_back(value.value_or(NAN));
    given.value.push_back(std::move(read));
  }
  return given;
}

Result<Given<GeneratedAnswer>> AdapterTokenSource::generate(const EncodedPrompt& prompt, std::int32_t n_tokens) {
  SS_TRY(auto answers, endpoint_.generate({prompt.ids}, n_tokens, ticking()));
  AdapterEndpoint::Answer& answer = answers.front();
  std::vector<std::int32_t>& ids = answer.generated.ids;
  const auto end = std::ranges::find_first_of(ids, eos_ids_);
  if (end != ids.end()) {
    ids.erase(end + 1, ids.end());
    answer.generated.ended = true;
  }
  return Given<GeneratedAnswer>{std::move(answer.generated), std::move(answer.why_not)};
}

Result<std::vector<std::optional<GeneratedAnswer>>> AdapterTokenSource::generate_together(
    std::span<const EncodedPrompt* const> prompts, std::int32_t n_tokens) {
  std::vector<std::vector<std::int32_t>> ids;
  for (const EncodedPrompt* prompt : prompts) ids.push_back(prompt->ids);
  SS_TRY(auto answers, endpoint_.generate(ids, n_tokens, ticking()));
  std::vector<std::optional<GeneratedAnswer>> given(answers.size());
  for (std::size_t index = 0; index < answers.size(); ++index) {
    if (answers[index].why_not.empty()) given[index] = std::move(answers[index].generated);
  }
  return given;
}

}  // namespace secondsource
