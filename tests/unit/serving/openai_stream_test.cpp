// The chunks are shaped as the servers' documentation shows them (docs/systems.md names the sources).

#include "serving/openai_stream.h"

#include <string>

#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

ServedChunk chunk_of(std::string_view json) {
  CAPTURE(json);
  const auto chunk = parse_served_chunk(json);
  REQUIRE_OK(chunk);
  return *chunk;
}

}  // namespace

TEST_CASE("text, thoughts and tool calls are channels of their own") {
  CHECK(chunk_of(R"({"choices": [{"index": 0, "text": " a"}]})").text == " a");
  CHECK(chunk_of(R"({"choices": [{"index": 0, "delta": {"content": "b"}}]})").text == "b");
  CHECK(chunk_of(R"({"choices": [{"index": 0, "delta": {"reasoning_content": "c"}}]})").thought == "c");
  CHECK(chunk_of(R"({"choices": [{"index": 0, "delta": {"reasoning": "d"}}]})").thought == "d");
  const ServedChunk tool =
      chunk_of(R"({"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}}]})");
  CHECK(tool.tool == "f{");
  CHECK(tool.text.empty());
  CHECK(tool.has_text());
  CHECK_FALSE(chunk_of(R"({"choices": [{"delta": {"role": "assistant", "content": null}}]})").has_text());
}

TEST_CASE("ids come in the forms that servers have for them") {
  CHECK(chunk_of(R"({"choices": [{"text": "a", "token_ids": [7, 8]}]})").ids == std::vector<std::int32_t>{7, 8});
  CHECK(chunk_of(R"({"choices": [{"text": "a", "logprobs": {"content": [{"id": 9, "token": "a"}]}}]})").ids ==
        std::vector<std::int32_t>{9});
  CHECK(chunk_of(R"({"choices": [{"text": "a", "token_ids": null}]})").ids.empty());
}

TEST_CASE("usage is the last word on counts, and timings say them as they go") {
  const ServedChunk last = chunk_of(R"({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3,
                                        "prompt_tokens_details": {"cached_tokens": 4}}})");
  REQUIRE(last.usage);
  CHECK(last.usage->n_prompt_tokens == 5);
  CHECK(last.usage->n_output_tokens == 3);
  CHECK(last.usage->n_cached_prompt_tokens == 4);
  CHECK(chunk_of(R"({"choices": [{"text": "a"}], "timings": {"predicted_n": 2}})").usage->n_output_tokens == 2);
  // A count that the server does not give is not 0.
  const ServedChunk some = chunk_of(R"({"choices": [], "usage": {"completion_tokens": 0, "prompt_tokens": null}})");
  REQUIRE(some.usage);
  CHECK(some.usage->n_output_tokens == 0);
  CHECK_FALSE(some.usage->n_prompt_tokens);
  CHECK_FALSE(some.usage->n_cached_prompt_tokens);
  CHECK_FALSE(chunk_of(R"({"choices": [{"text": "a"}], "usage": null})").usage);
}

TEST_CASE("the model that answers is known where the chunk names it") {
  CHECK(chunk_of(R"({"model": "a:latest", "choices": [{"text": "x"}]})").model == "a:latest");
  CHECK(chunk_of(R"({"model": null, "choices": [{"text": "x"}]})").model.empty());
  CHECK(chunk_of(R"({"model": 7, "choices": [{"text": "x"}]})").model.empty());
  CHECK(chunk_of(R"({"choices": [{"text": "x"}]})").model.empty());
}

TEST_CASE("how an answer ended") {
  const auto [reason, finish] = GENERATE(table<std::string, ServedFinish>({{"\"length\"", ServedFinish::kLength},
                                                                           {"\"stop\"", ServedFinish::kStop},
                                                                           {"\"eos_token\"", ServedFinish::kStop},
                                                                           {"\"tool_calls\"", ServedFinish::kOther},
                                                                           {"\"\"", ServedFinish::kNone},
                                                                           {"null", ServedFinish::kNone}}));
  CAPTURE(reason);
  const ServedChunk chunk = chunk_of(R"({"choices": [{"index": 0, "text": "", "finish_reason": )" + reason + "}]}");
  CHECK(chunk.finish == finish);
  CHECK(chunk.other_reason == (finish == ServedFinish::kOther ? "tool_calls" : ""));
}

TEST_CASE("other choices than the first do not count") {
  CHECK(chunk_of(R"({"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]})").text == "a");
}

TEST_CASE("what is no chunk is refused with what was expected") {
  const auto [json, code, part] = GENERATE(table<std::string, ErrorCode, std::string>({
      {"{", ErrorCode::kInvalidInput, "event"},
      {"[]", ErrorCode::kInvalidInput, "expected an object"},
      {"{}", ErrorCode::kInvalidInput, "expected a list under choices"},
      {R"({"choices": "none"})", ErrorCode::kInvalidInput, "expected a list under choices"},
      {R"({"choices": [3]})", ErrorCode::kInvalidInput, "expected an object in choices"},
      {R"({"choices": [{"text": 3}]})", ErrorCode::kInvalidInput, "expected a text under text"},
      {R"({"choices": [{"delta": []}]})", ErrorCode::kInvalidInput, "expected an object under delta"},
      {R"({"choices": [{"text": "", "token_ids": [-1]}]})", ErrorCode::kInvalidInput, "expected a token id"},
      {R"({"choices": [{"text": "", "token_ids": [1e30]}]})", ErrorCode::kInvalidInput, "expected a token id"},
      {R"({"choices": [], "usage": {"completion_tokens": 99999999999}})", ErrorCode::kInvalidInput,
       "a count of tokens"},
      {R"({"choices": [{"finish_reason": 1}]})", ErrorCode::kInvalidInput, "finish_reason"},
      {R"({"error": {"message": "out of memory"}})", ErrorCode::kUnavailable, "out of memory"},
      {R"({"error": "overloaded"})", ErrorCode::kUnavailable, "overloaded"},
      {R"({"error": {"code": 5}})", ErrorCode::kUnavailable, "code"},
  }));
  CAPTURE(json);
  CHECK_ERROR(parse_served_chunk(json), code, part);
}
