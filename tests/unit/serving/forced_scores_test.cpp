// The responses are shaped as the servers' documentation shows them (docs/systems.md names the sources).

#include "serving/forced_scores.h"

#include <nlohmann/json.hpp>

#include "serving/openai_request.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

ServedSystem scoring_system(ServerPreset preset) {
  ServedSystem system;
  system.url = "http://h:1/v1";
  system.preset = preset;
  system.model = "m";
  return system;
}

const std::vector<std::int32_t> kIds = {5, 6, 7, 8};  // two of the prompt, two to be scored
const ForcedIds kForced{.ids = kIds, .n_prompt = 2, .text = "whole text"};

}  // namespace

TEST_CASE("vLLM scores every position of the prompt in one request") {
  const ServedSystem system = scoring_system(ServerPreset::kVllm);
  REQUIRE(n_score_calls(system, kForced) == 1);
  const NativeCall call = score_call(system, kForced, 0);
  CHECK(call.url == "http://h:1/v1/completions");
  CHECK(nlohmann::json::parse(call.body) ==
        nlohmann::json::parse(R"({"model": "m", "prompt": [5, 6, 7, 8], "max_tokens": 1,
                                                  "temperature": 0, "prompt_logprobs": 20})"));
  const auto scores = parse_scores(system, R"({"choices": [{"prompt_logprobs": [null, {"6": {"logprob": -1}},
      {"7": {"logprob": -0.5, "rank": 2}, "9": {"logprob": -0.25, "rank": 1}},
      {"8": {"logprob": -0.5, "rank": 1}, "3": {"logprob": -0.5, "rank": 1}}]}]})",
                                   kForced, 0);
  REQUIRE_OK(scores);
  REQUIRE(scores->size() == 2);
  CHECK(scores->at(0).best_id == 9);
  CHECK(scores->at(0).log_probability == -0.5);
  CHECK(scores->at(1).best_id == 3);  // the lowest of equally probable ids
}

TEST_CASE("SGLang scores the input ids") {
  const ServedSystem system = scoring_system(ServerPreset::kSglang);
  const NativeCall call = score_call(system, kForced, 0);
  CHECK(call.url == "http://h:1/generate");
  CHECK(nlohmann::json::parse(call.body).at("input_ids") == nlohmann::json(kIds));
  const char* const response = R"({"meta_info": {
      "input_token_logprobs": [[null, 5, null], [-1, 6, null], [-0.5, 7, null], [-0.1, 8, null]],
      "input_top_logprobs": [null, [[-1, 6, null]], [[-0.2, 4, null], [-0.5, 7, null]], [[-0.1, 8, null]]]}})";
  const auto scores = parse_scores(system, response, kForced, 0);
  REQUIRE_OK(scores);
  CHECK(scores->at(0).best_id == 4);
  CHECK(scores->at(0).log_probability == -0.5);
  CHECK(scores->at(1).best_id == 8);
  const std::vector<std::int32_t> others = {5, 6, 7, 9};
  CHECK_ERROR(parse_scores(system, response, {.ids = others, .n_prompt = 2}, 0), ErrorCode::kUnsupported, "other ids");
}

TEST_CASE("llama-server scores one position in each request") {
  const ServedSystem system = scoring_system(ServerPreset::kLlamaServer);
  REQUIRE(n_score_calls(system, kForced) == 2);
  const NativeCall call = score_call(system, kForced, 1);
  CHECK(call.url == "http://h:1/completion");
  CHECK(nlohmann::json::parse(call.body).at("prompt") == nlohmann::json({5, 6, 7}));
  const auto scores = parse_scores(system, R"({"completion_probabilities": [{"id": 4, "top_logprobs": [
      {"id": 4, "logprob": -0.3}, {"id": 8, "logprob": -1.5}]}]})",
                                   kForced, 1);
  REQUIRE_OK(scores);
  REQUIRE(scores->size() == 1);
  CHECK(scores->at(0).best_id == 4);
  CHECK(scores->at(0).log_probability == -1.5);
}

TEST_CASE("TGI gives the log-probability of the given ids, if its tokenizer makes the same of the text") {
  const ServedSystem system = scoring_system(ServerPreset::kTgi);
  const NativeCall call = score_call(system, kForced, 0);
  CHECK(nlohmann::json::parse(call.body).at("inputs") == "whole text");
  const char* const response = R"({"details": {"prefill": [{"id": 5, "logprob": null}, {"id": 6, "logprob": -1},
      {"id": 7, "logprob": -0.5}, {"id": 8, "logprob": -0.1}]}})";
  const auto scores = parse_scores(system, response, kForced, 0);
  REQUIRE_OK(scores);
  CHECK_FALSE(scores->at(0).best_id);
  CHECK(scores->at(1).log_probability == -0.1);
  const std::vector<std::int32_t> others = {5, 6, 7, 9};
  CHECK_ERROR(parse_scores(system, response, {.ids = others, .n_prompt = 2}, 0), ErrorCode::kUnsupported,
              "makes other ids");
  const std::vector<std::int32_t> longer = {5, 6, 7, 8, 9};
  CHECK_ERROR(parse_scores(system, response, {.ids = longer, .n_prompt = 2}, 0), ErrorCode::kUnsupported, "4 ids");
}

TEST_CASE("a response without scores is refused with what it lacks") {
  const auto [preset, response] = GENERATE(table<ServerPreset, std::string>({
      {ServerPreset::kVllm, "{}"},
      {ServerPreset::kVllm, R"({"choices": []})"},
      {ServerPreset::kVllm, R"({"choices": [{"prompt_logprobs": [null, null, null, null]}]})"},
      {ServerPreset::kVllm, R"({"choices": [{"prompt_logprobs": [null, null, {"x": {}}, null]}]})"},
      {ServerPreset::kSglang, R"({"meta_info": {}})"},
      {ServerPreset::kLlamaServer, R"({"completion_probabilities": []})"},
      {ServerPreset::kLlamaServer, R"({"completion_probabilities": [{"top_logprobs": [{"token": "a"}]}]})"},
      {ServerPreset::kLlamaServer, R"({"completion_probabilities": [{"top_logprobs": []}]})"},
      {ServerPreset::kTgi, R"({"details": {"prefill": null}})"},
      {ServerPreset::kTgi, "[]"},
  }));
  CAPTURE(response);
  CHECK_ERROR(parse_scores(scoring_system(preset), response, kForced, 0), ErrorCode::kInvalidInput, "found none");
}

TEST_CASE("generated answers come with ids where the server has a way to give them") {
  const ServedPrompt prompt{.ids = {5, 6}, .text = "text"};
  CHECK(generate_call(scoring_system(ServerPreset::kSglang), prompt, 3).url == "http://h:1/generate");
  CHECK(generate_call(scoring_system(ServerPreset::kLlamaServer), prompt, 3).url == "http://h:1/completion");
  CHECK(generate_call(scoring_system(ServerPreset::kTgi), prompt, 3).url == "http://h:1/generate");
  CHECK(generate_call(scoring_system(ServerPreset::kAny), prompt, 3).url == "http://h:1/v1/completions");
  const auto llama = parse_generated(scoring_system(ServerPreset::kLlamaServer), R"({"content": "ab", "tokens": [7, 8],
                                     "stop_type": "eos", "tokens_evaluated": 2})");
  REQUIRE_OK(llama);
  CHECK(llama->ids == std::vector<std::int32_t>{7, 8});
  CHECK(llama->ended);
  CHECK(llama->n_prompt_tokens == 2);
  const auto sglang = parse_generated(scoring_system(ServerPreset::kSglang), R"({"text": "ab", "output_ids": [7],
                                      "meta_info": {"finish_reason": {"type": "length"}, "prompt_tokens": 2}})");
  REQUIRE_OK(sglang);
  CHECK(sglang->ids == std::vector<std::int32_t>{7});
  CHECK_FALSE(sglang->ended);
  const auto tgi = parse_generated(scoring_system(ServerPreset::kTgi), R"({"generated_text": "ab", "details": {
                                   "finish_reason": "eos_token", "tokens": [{"id": 7}, {"id": 8}]}})");
  REQUIRE_OK(tgi);
  CHECK(tgi->ids == std::vector<std::int32_t>{7, 8});
  CHECK(tgi->ended);
  const auto any =
      parse_generated(scoring_system(ServerPreset::kAny), R"({"choices": [{"text": "ab", "finish_reason": "stop"}],
                                   "usage": {"prompt_tokens": 4, "completion_tokens": 2}})");
  REQUIRE_OK(any);
  CHECK(any->ids.empty());
  CHECK(any->text == "ab");
  CHECK(any->n_prompt_tokens == 4);
}
