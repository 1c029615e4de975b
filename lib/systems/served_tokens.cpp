#include "systems/served_tokens.h"

#include <fmt/format.h>

#include <utility>

#include "core/clock.h"
#include "core/enum_format.h"
#include "serving/preset.h"
#include "systems/served_prompt.h"

namespace secondsource {

ServedTokens::ServedTokens(ServedEndpoint& endpoint, const Tokenizer* tokenizer, Progress& progress)
    : endpoint_(endpoint), system_(endpoint.system()), tokenizer_(tokenizer), progress_(progress) {}

std::string ServedTokens::entrance() const {
  return fmt::format("the {} API of this server", system_.api);
}

bool ServedTokens::takes(const EncodedPrompt& prompt) const {
  return exact_prompt(prompt, system_, tokenizer_).has_value();
}

bool ServedTokens::takes_and_gives_ids() const {
  const PresetFacts& facts = facts_of(system_.preset);
  return facts.takes_ids && facts.ids != GeneratedIds::kNone && system_.api != ServedApi::kChat;
}

std::optional<VerdictLevel> ServedTokens::forced_level() const {
  const ForcedScores scores = facts_of(system_.preset).scores;
  if (scores == ForcedScores::kNone || system_.api == ServedApi::kChat) return std::nullopt;
  return scores == ForcedScores::kTgiPrefillDetails ? VerdictLevel::kLogprob : VerdictLevel::kForced;
}

Result<Given<std::string>> ServedTokens::post(const NativeCall& call) {
  HttpCall http;
  http.url = call.url;
  http.body = call.body;
  http.timeout_ns = static_cast<std::int64_t>(1e9 * system_.timeout_s);
  SS_TRY(HttpReply reply, endpoint_.client().fetch(std::move(http), [this] { progress_.update(++n_steps_); }));
  std::string refusal = refusal_of(reply.end, reply.body, "application/json", endpoint_.client().key());
  const long status = reply.end.status;
  if (status == 429 || status >= 500) return Error{ErrorCode::kUnavailable, fmt::format("{}: {}", call.url, refusal)};
  return Given<std::string>{std::move(reply.body), std::move(refusal)};
}

Result<Given<std::vector<ForcedScore>>> ServedTokens::score(const GoldenCase& one) {
  std::vector<std::int32_t> ids = one.prompt.ids;
  ids.insert(ids.end(), one.expected.ids.begin(), one.expected.ids.end());
  std::string text = exact_prompt(one.prompt, system_, tokenizer_)->text;
  if (tokenizer_ != nullptr) text += tokenizer_->decode(one.expected.ids);
  const ForcedIds forced{.ids = ids, .n_prompt = one.prompt.ids.size(), .text = text};
  Given<std::vector<ForcedScore>> scores;
  for (std::size_t call = 0; call < n_score_calls(system_, forced); ++call) {
    SS_TRY(const Given<std::string> reply, post(score_call(system_, forced, call)));
    if (!reply.why_not.empty()) return Given<std::vector<ForcedScore>>{.why_not = reply.why_not};
    const auto parsed = parse_scores(system_, reply.value, forced, call);
    if (!parsed) {
      return Given<std::vector<ForcedScore>>{.why_not = endpoint_.client().key().cut_from(parsed.error().message)};
    }
    scores.value.insert(scores.value.end(), parsed->begin(), parsed->end());
  }
  return scores;
}

Result<Given<GeneratedAnswer>> ServedTokens::generate(const EncodedPrompt& prompt, std::int32_t n_tokens) {
  SS_TRY(const Given<std::string> reply,
         post(generate_call(system_, *exact_prompt(prompt, system_, tokenizer_), n_tokens)));
  if (!reply.why_not.empty()) return Given<GeneratedAnswer>{.why_not = reply.why_not};
  auto answer = parse_generated(system_, reply.value);
  if (!answer) return answer.error().with_context(fmt::format("prompt {}", prompt.id));
  return Given<GeneratedAnswer>{*std::move(answer)};
}

Result<std::vector<std::optional<GeneratedAnswer>>> ServedTokens::generate_together(
    std::span<const EncodedPrompt* const> prompts, std::int32_t n_tokens) {
  HttpClient& client = endpoint_.client();
  std::vector<std::string> bodies(prompts.size());
  for (std::size_t index = 0; index < prompts.size(); ++index) {
    const NativeCall call = generate_call(system_, *exact_prompt(*prompts[index], system_, tokenizer_), n_tokens);
    HttpCall http;
    http.url = call.url;
    http.body = call.body;
    http.timeout_ns = static_cast<std::int64_t>(1e9 * system_.timeout_s);
    http.on_body = [&body = bodies[index]](const HttpHead&, std::string_view bytes, std::int64_t) {
      body += bytes;
      return true;
    };
    SS_TRY_VOID(client.start(static_cast<std::int64_t>(index), std::move(http)));
  }
  std::vector<HttpEnd> ends;
  while (ends.size() < prompts.size()) {
    progress_.update(++n_steps_);
    if (const Result<void> polled = client.poll(now_ns() + 200'000'000, ends); !polled) {
      client.cancel_all();
      return polled.error();
    }
  }
  std::vector<std::optional<GeneratedAnswer>> answers(prompts.size());
  for (const HttpEnd& end : ends) {
    const auto index = static_cast<std::size_t>(end.id);
    if (!end.error.empty() || end.status != 200) continue;
    if (auto answer = parse_generated(system_, bodies[index])) answers[index] = *std::move(answer);
  }
  return answers;
}

}  // namespace secondsource
