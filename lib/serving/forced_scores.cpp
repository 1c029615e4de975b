#include "serving/forced_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/json_text.h"
#include "core/number.h"
#include "core/utf8.h"
#include "serving/openai_request.h"
#include "serving/openai_stream.h"
#include "serving/preset.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

// The reference's record has as many, so the given id is found among them unless the server is far off.
constexpr int kAlternatives = 20;
constexpr const char* kResponse = "response";

Error lacks(std::string_view what) {
  return {ErrorCode::kInvalidInput, fmt::format("{}: expected {}, found none", kResponse, what)};
}

const Json* at(const Json& tree, const char* pointer) {
  const Json::json_pointer place{std::string(pointer)};
  return tree.contains(place) && !tree.at(place).is_null() ? &tree.at(place) : nullptr;
}

std::optional<std::int32_t> id_of(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const auto id = value.get<std::int64_t>();
  if (id < 0 || id > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
  return static_cast<std::int32_t>(id);
}

std::optional<double> log_probability_of(const Json& value) {
  if (!value.is_number()) return std::nullopt;
  const auto number = value.get<double>();
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

/// Keeps the most probable id; among equals the lowest, as our own backends choose.
class Best {
 public:
  void offer(std::int32_t id, double log_probability) {
    if (id_ && (log_probability < best_ || (log_probability == best_ && id > *id_))) return;
    id_ = id;
    best_ = log_probability;
  }
  [[nodiscard]] std::optional<std::int32_t> id() const { return id_; }

 private:
  std::optional<std::int32_t> id_;
  double best_ = 0;
};

/// {"17": {"logprob": -0.1, "rank": 1}, ...}: the most probable ids and the given one.
Result<ForcedScore> vllm_score(const Json& entry, std::int32_t given) {
  if (!entry.is_object()) return lacks("log-probabilities at a position of the prompt");
  ForcedScore score;
  Best best;
  for (const auto& [key, value] : entry.items()) {
    const auto id = parse_number<std::int32_t>(key);
    const Json* number = value.is_object() ? at(value, "/logprob") : nullptr;
    const auto log_probability = number == nullptr ? std::nullopt : log_probability_of(*number);
    if (!id || !log_probability) return lacks("ids with their log-probabilities");
    best.offer(*id, *log_probability);
    if (*id == given) score.log_probability = log_probability;
  }
  score.best_id = best.id();
  return score;
}

Result<std::vector<ForcedScore>> vllm_scores(const Json& tree, const ForcedIds& forced) {
  const Json* list = at(tree, "/choices/0/prompt_logprobs");
  if (list == nullptr || !list->is_array()) return lacks("prompt_logprobs");
  if (list->size() != forced.ids.size()) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("the server scored {} ids where {} were given", list->size(), forced.ids.size())};
  }
  std::vector<ForcedScore> scores;
  for (std::size_t index = forced.n_prompt; index < forced.ids.size(); ++index) {
    SS_TRY(const ForcedScore score, vllm_score((*list)[index], forced.ids[index]));
    scores.push_back(score);
  }
  return scores;
}

/// [log-probability, id, text]
struct Triple {
  std::optional<double> log_probability;
  std::optional<std::int32_t> id;
};
Triple triple_of(const Json& value) {
  if (!value.is_array() || value.size() < 2) return {};
  return {log_probability_of(value[0]), id_of(value[1])};
}

Result<std::vector<ForcedScore>> sglang_scores(const Json& tree, const ForcedIds& forced) {
  const Json* given = at(tree, "/meta_info/input_token_logprobs");
  const Json* top = at(tree, "/meta_info/input_top_logprobs");
  if (given == nullptr || top == nullptr || !given->is_array() || !top->is_array())
    return lacks("input_token_logprobs");
  if (given->size() != forced.ids.size() || top->size() != forced.ids.size()) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("the server scored {} ids where {} were given", given->size(), forced.ids.size())};
  }
  std::vector<ForcedScore> scores;
  for (std::size_t index = forced.n_prompt; index < forced.ids.size(); ++index) {
    const Triple one = triple_of((*given)[index]);
    if (one.id != forced.ids[index]) {
      return Error{ErrorCode::kUnsupported, "the server scored other ids than those that were given"};
    }
    Best best;
    const Json& alternatives = (*top)[index];
    for (std::size_t k = 0; alternatives.is_array() && k < alternatives.size(); ++k) {
      const Triple other = triple_of(alternatives[k]);
      if (other.id && other.log_probability) best.offer(*other.id, *other.log_probability);
    }
    if (!best.id()) return lacks("alternatives at a position of the prompt");
    scores.push_back({best.id(), one.log_probability});
  }
  return scores;
}

Result<std::vector<ForcedScore>> llama_score(const Json& tree, std::int32_t given) {
  const Json* top = at(tree, "/completion_probabilities/0/top_logprobs");
  if (top == nullptr || !top->is_array()) return lacks("completion_probabilities with top_logprobs");
  ForcedScore score;
  Best best;
  for (const Json& one : *top) {
    const Json* id = one.is_object() ? at(one, "/id") : nullptr;
    const Json* number = one.is_object() ? at(one, "/logprob") : nullptr;
    if (id == nullptr || number == nullptr || !id_of(*id)) return lacks("ids with their log-probabilities");
    const auto log_probability = log_probability_of(*number);
    if (!log_probability) continue;
    best.offer(*id_of(*id), *log_probability);
    if (*id_of(*id) == given) score.log_probability = log_probability;
  }
  if (!best.id()) return lacks("alternatives");
  score.best_id = best.id();
  return std::vector<ForcedScore>{score};
}

Result<std::vector<ForcedScore>> tgi_scores(const Json& tree, const ForcedIds& forced) {
  const Json* prefill = at(tree, "/details/prefill");
  if (prefill == nullptr || !prefill->is_array()) return lacks("details with prefill");
  if (prefill->size() != forced.ids.size()) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("the server's tokenizer makes {} ids of the text, the bundle's {}", prefill->size(),
                             forced.ids.size())};
  }
  std::vector<ForcedScore> scores;
  for (std::size_t index = 0; index < forced.ids.size(); ++index) {
    const Json& token = (*prefill)[index];
    const Json* id = token.is_object() ? at(token, "/id") : nullptr;
    if (id == nullptr || id_of(*id) != forced.ids[index]) {
      return Error{ErrorCode::kUnsupported, "the server's tokenizer makes other ids of the text than the bundle's"};
    }
    if (index < forced.n_prompt) continue;
    const Json* number = at(token, "/logprob");
    const auto log_probability = number == nullptr ? std::nullopt : log_probability_of(*number);
    if (!log_probability) return lacks("a log-probability of each given id");
    scores.push_back({std::nullopt, log_probability});
  }
  return scores;
}

/// The address in front of the path of the OpenAI API.
std::string root_of(const ServedSystem& system) {
  return system.url.substr(0, system.url.rfind('/'));
}

nlohmann::ordered_json sglang_body(const std::vector<std::int32_t>& ids, std::int32_t n_tokens) {
  return {{"input_ids", ids}, {"sampling_params", {{"temperature", 0}, {"max_new_tokens", n_tokens}}}};
}

std::vector<std::int32_t> copy_of(std::span<const std::int32_t> ids) {
  return {ids.begin(), ids.end()};
}

Result<std::vector<std::int32_t>> ids_in(const Json* list, const char* member) {
  if (list == nullptr || !list->is_array()) return lacks("the ids of the answer");
  std::vector<std::int32_t> ids;
  for (const Json& one : *list) {
    const Json* value = member == nullptr ? &one : one.is_object() ? at(one, member) : nullptr;
    const auto id = value == nullptr ? std::nullopt : id_of(*value);
    if (!id) return lacks("an id of the answer");
    ids.push_back(*id);
  }
  return ids;
}

std::string text_at(const Json& tree, const char* pointer) {
  const Json* text = at(tree, pointer);
  return text != nullptr && text->is_string() ? text->get<std::string>() : std::string();
}

}  // namespace

std::size_t n_score_calls(const ServedSystem& system, const ForcedIds& forced) {
  return facts_of(system.preset).scores == ForcedScores::kLlamaNProbs ? forced.ids.size() - forced.n_prompt : 1;
}

NativeCall score_call(const ServedSystem& system, const ForcedIds& forced, std::size_t index) {
  nlohmann::ordered_json body;
  std::string url;
  switch (facts_of(system.preset).scores) {
    case ForcedScores::kNone:
      break;
    case ForcedScores::kVllmPromptLogprobs:
      url = system.url + std::string(path_of(ServedApi::kCompletions));
      body = {{"model", system.model},
              {"prompt", copy_of(forced.ids)},
              {"max_tokens", 1},
              {"temperature", 0},
              {"prompt_logprobs", kAlternatives}};
      break;
    case ForcedScores::kSglangInputLogprobs:
      url = root_of(system) + "/generate";
      body = sglang_body(copy_of(forced.ids), 1);
      body["return_logprob"] = true;
      body["logprob_start_len"] = 0;
      body["top_logprobs_num"] = kAlternatives;
      break;
    case ForcedScores::kLlamaNProbs:
      url = root_of(system) + "/completion";
      // A router chooses the model by the member "model".
      body = {{"model", system.model},    {"prompt", copy_of(forced.ids.first(forced.n_prompt + index))},
              {"n_predict", 1},           {"temperature", 0},
              {"n_probs", kAlternatives}, {"cache_prompt", true}};
      break;
    case ForcedScores::kTgiPrefillDetails:
      url = root_of(system) + "/generate";
      body = {{"inputs", forced.text},
              {"parameters", {{"max_new_tokens", 1}, {"details", true}, {"decoder_input_details", true}}}};
      break;
  }
  return {url, to_json_text(body, -1)};
}

Result<std::vector<ForcedScore>> parse_scores(const ServedSystem& system, std::string_view json,
                                              const ForcedIds& forced, std::size_t index) {
  SS_TRY(const Json tree, parse_json(json, kResponse));
  switch (facts_of(system.preset).scores) {
    case ForcedScores::kNone:
      break;
    case ForcedScores::kVllmPromptLogprobs:
      return vllm_scores(tree, forced);
    case ForcedScores::kSglangInputLogprobs:
      return sglang_scores(tree, forced);
    case ForcedScores::kLlamaNProbs:
      return llama_score(tree, forced.ids[forced.n_prompt + index]);
    case ForcedScores::kTgiPrefillDetails:
      return tgi_scores(tree, forced);
  }
  return Error{ErrorCode::kUnsupported, "this kind of server gives no log-probabilities of given ids"};
}

NativeCall generate_call(const ServedSystem& system, const ServedPrompt& prompt, std::int32_t n_tokens) {
  nlohmann::ordered_json body;
  switch (facts_of(system.preset).ids) {
    case GeneratedIds::kSglangGenerate:
      if (system.api == ServedApi::kChat || prompt.ids.empty()) break;
      return {root_of(system) + "/generate", to_json_text(sglang_body(prompt.ids, n_tokens), -1)};
    case GeneratedIds::kLlamaTokens:
      if (system.api == ServedApi::kChat || prompt.ids.empty()) break;
      body = {{"model", system.model}, {"prompt", prompt.ids},  {"n_predict", n_tokens},
              {"temperature", 0},      {"return_tokens", true}, {"cache_prompt", false}};
      return {root_of(system) + "/completion", to_json_text(body, -1)};
    case GeneratedIds::kTgiDetails:
      if (system.api == ServedApi::kChat) break;
      body = {{"inputs", prompt.text}, {"parameters", {{"max_new_tokens", n_tokens}, {"details", true}}}};
      return {root_of(system) + "/generate", to_json_text(body, -1)};
    case GeneratedIds::kTokenIds:
    case GeneratedIds::kNone:
      break;
  }
  return {system.url + std::string(path_of(system.api)),
          openai_body(system, {prompt, n_tokens, AnswerLength::kAtMost, false})};
}

Result<GeneratedAnswer> parse_generated(const ServedSystem& system, std::string_view json) {
  SS_TRY(const Json tree, parse_json(json, kResponse));
  GeneratedAnswer answer;
  if (const Json* stopped = at(tree, "/stop_type"); stopped != nullptr && tree.contains("tokens")) {  // llama-server
    SS_TRY(answer.ids, ids_in(at(tree, "/tokens"), nullptr));
    answer.text = text_at(tree, "/content");
    answer.ended = *stopped == "eos" || *stopped == "word";
    if (const Json* count = at(tree, "/tokens_evaluated")) answer.n_prompt_tokens = id_of(*count);
    return answer;
  }
  if (at(tree, "/meta_info") != nullptr) {  // SGLang
    SS_TRY(answer.ids, ids_in(at(tree, "/output_ids"), nullptr));
    answer.text = text_at(tree, "/text");
    answer.ended = text_at(tree, "/meta_info/finish_reason/type") == "stop";
    if (const Json* count = at(tree, "/meta_info/prompt_tokens")) answer.n_prompt_tokens = id_of(*count);
    return answer;
  }
  if (at(tree, "/details") != nullptr) {  // TGI
    SS_TRY(answer.ids, ids_in(at(tree, "/details/tokens"), "/id"));
    answer.text = text_at(tree, "/generated_text");
    const std::string reason = text_at(tree, "/details/finish_reason");
    answer.ended = reason == "eos_token" || reason == "stop_sequence";
    return answer;
  }
  SS_TRY(const ServedChunk chunk, parse_served_chunk(json));
  if (system.preset == ServerPreset::kVllm) answer.ids = chunk.ids;
  answer.text = chunk.text;
  answer.ended = chunk.finish == ServedFinish::kStop;
  if (chunk.usage && chunk.usage->n_prompt_tokens.value_or(0) > 0)
    answer.n_prompt_tokens = chunk.usage->n_prompt_tokens;
  return answer;
}

}  // namespace secondsource
