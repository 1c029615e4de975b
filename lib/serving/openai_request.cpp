#include "serving/openai_request.h"

#include <nlohmann/json.hpp>

#include "core/json_text.h"
#include "serving/preset.h"

namespace secondsource {

std::string_view path_of(ServedApi api) {
  return api == ServedApi::kChat ? "/chat/completions" : "/completions";
}

std::string openai_body(const ServedSystem& system, const OpenAiRequest& request) {
  const PresetFacts& facts = facts_of(system.preset);
  nlohmann::ordered_json body;
  body["model"] = system.model;
  if (system.api == ServedApi::kChat) {
    body["messages"] = nlohmann::ordered_json::array();
    for (const auto& [role, content] : request.prompt.messages) {
      body["messages"].push_back({{"role", role}, {"content", content}});
    }
  } else if (!request.prompt.ids.empty()) {
    body["prompt"] = request.prompt.ids;
  } else {
    body["prompt"] = request.prompt.text;
  }
  body["max_tokens"] = request.n_output_tokens;
  body["temperature"] = 0;
  body["stream"] = request.stream;
  if (request.stream) {
    body["stream_options"] = {{"include_usage", true}};
    if (!facts.streamed_fields.empty()) {
      body["stream_options"].update(nlohmann::ordered_json::parse(facts.streamed_fields));
    }
  }
  if (!facts.timed_fields.empty()) {
    body.update(nlohmann::ordered_json::parse(facts.timed_fields));
    if (facts.ignores_eos && request.length == AnswerLength::kAtMost) body["ignore_eos"] = false;
  }
  if (request.continues && !facts.continuing_fields.empty()) {
    body.update(nlohmann::ordered_json::parse(facts.continuing_fields));
  }
  return to_json_text(body, -1);
}

}  // namespace secondsource
