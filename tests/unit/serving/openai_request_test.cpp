// The members are those of the OpenAI API and, for a preset, also those that the server's documentation names.

#include "serving/openai_request.h"

#include <nlohmann/json.hpp>

#include "support/catch.h"

using namespace secondsource;

namespace {

ServedSystem requested_system(ServerPreset preset, ServedApi api = ServedApi::kCompletions) {
  ServedSystem system;
  system.preset = preset;
  system.api = api;
  system.model = "m";
  return system;
}

}  // namespace

TEST_CASE("a timed request is greedy, streamed, counted, and has exactly the length that was asked for") {
  const OpenAiRequest request{.prompt = {.ids = {5, 6}, .text = {}}, .n_output_tokens = 7};
  const nlohmann::json body = nlohmann::json::parse(openai_body(requested_system(ServerPreset::kVllm), request));
  CHECK(body ==
        nlohmann::json::parse(R"({"model": "m", "prompt": [5, 6], "max_tokens": 7, "temperature": 0, "stream": true,
      "stream_options": {"include_usage": true, "continuous_usage_stats": true}, "ignore_eos": true,
      "return_token_ids": true})"));
}

TEST_CASE("an unknown server gets nothing but what the OpenAI API defines") {
  const OpenAiRequest request{.prompt = {.ids = {}, .text = "hello"}, .n_output_tokens = 7};
  CHECK(nlohmann::json::parse(openai_body(requested_system(ServerPreset::kAny), request)) ==
        nlohmann::json::parse(R"({"model": "m", "prompt": "hello", "max_tokens": 7, "temperature": 0, "stream": true,
                        "stream_options": {"include_usage": true}})"));
}

TEST_CASE("a golden prompt may end where the model ends it") {
  const OpenAiRequest request{
      .prompt = {.ids = {5}, .text = {}}, .n_output_tokens = 7, .length = AnswerLength::kAtMost, .stream = false};
  const nlohmann::json vllm = nlohmann::json::parse(openai_body(requested_system(ServerPreset::kVllm), request));
  CHECK(vllm.at("ignore_eos") == false);
  CHECK_FALSE(vllm.contains("stream_options"));
}

TEST_CASE("the chat API gets messages") {
  const OpenAiRequest request{.prompt = {.ids = {}, .text = {}, .messages = {{"user", "hi"}}}, .n_output_tokens = 7};
  const nlohmann::json body =
      nlohmann::json::parse(openai_body(requested_system(ServerPreset::kAny, ServedApi::kChat), request));
  CHECK(body.at("messages") == nlohmann::json::parse(R"([{"role": "user", "content": "hi"}])"));
  CHECK_FALSE(body.contains("prompt"));
}
