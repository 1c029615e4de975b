// Compares the reader of usual chunks with the independently implemented reader of all chunks (openai_stream.h): the second must
// read whatever the first accepts in the same way. The chunks are shaped as the servers' documentation shows them.

#include "serving/token_event.h"

#include <string>
#include <vector>

#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

const std::vector<std::string> kUsual = {
    R"({"id":"cmpl-1","object":"text_completion","created":1763800000,"model":"m","choices":[{"index":0,"text":" word",)"
    R"("logprobs":null,"finish_reason":null,"stop_reason":null,"token_ids":[17],"prompt_token_ids":null}],)"
    R"("usage":{"prompt_tokens":5,"total_tokens":8,"completion_tokens":3}})",
    R"({"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"a\n\"b\""},)"
    R"("finish_reason":"stop"}]})",
    R"({"choices": [ { "delta" : {"reasoning_content": "hm"}, "token_ids": [1, 2, 3] } ] , "usage": null})",
    R"({"choices":[{"delta":{"reasoning":"hm","content":""},"finish_reason":"length"}]})",
    R"({"choices":[{"delta":{"tool_calls":[]}}],"error":null,"timings":null})",
    R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4,"x":[1,[],{}]}}})",
    R"({"choices":[],"usage":{"prompt_tokens":null,"completion_tokens":0,"prompt_tokens_details":null}})",
    R"({"choices":[{"text":"","token_ids":[]}]})",
    R"( {"choices":[{"text":null,"delta":{"content":"x"}}]} )",
    R"({"choices":[{"text":"a"}],"model":null})",
    R"({"choices":[{"text":"a"}],"model":7})",
};

// Chunks, valid or invalid, that this reader must leave to the other one.
const std::vector<std::string> kUnusual = {
    "",
    "{}",
    "[]",
    R"({"choices":null,"usage":{"completion_tokens":3}})",
    R"({"usage":{"completion_tokens":3}})",
    R"({"choices":[{"text":"a"}]}x)",
    R"({"choices":[{"text":"a"}])",
    R"({"choices":[{"text":"a","text":"b"}]})",
    R"({"choices":[{"text":"a"},{"text":"b","index":1}]})",
    R"({"choices":[{"index":1,"text":"b"}]})",
    R"({"choices":[{"text":"\u00e9"}]})",
    "{\"choices\":[{\"text\":\"\xc3\xa9\"}]}",
    "{\"choices\":[{\"text\":\"\xff\"}]}",
    R"({"choices":[{"text":"a","delta":{"content":"b"}}]})",
    R"({"choices":[{"delta":{"tool_calls":[{"function":{"name":"f"}}]}}]})",
    R"({"choices":[{"text":"a","token_ids":[-1]}]})",
    R"({"choices":[{"text":"a","token_ids":[01]}]})",
    R"({"choices":[{"text":"a","token_ids":[1.0]}]})",
    R"({"choices":[{"text":"a","token_ids":[9999999999]}]})",
    R"({"choices":[{"text":"a","logprobs":{"content":[{"id":9}]}}]})",
    R"({"choices":[{"text":"a","finish_reason":"tool_calls"}]})",
    R"({"choices":[{"text":"a"}],"timings":{"predicted_n":2}})",
    R"({"choices":[{"text":"a"}],"x":1e5})",
    R"({"error":{"message":"full"}})",
};

}  // namespace

TEST_CASE("the usual chunk of a stream is read in place, as the reader of all chunks reads it") {
  const std::string json = GENERATE(from_range(kUsual));
  CAPTURE(json);
  ServedChunk usual;
  usual.text = "of the chunk before";
  usual.ids = {99};
  usual.other_reason = "of the chunk before";
  usual.model = "of the chunk before";
  REQUIRE(read_token_event(json, usual));
  const auto chunk = parse_served_chunk(json);
  REQUIRE_OK(chunk);
  CHECK(usual == *chunk);
}

TEST_CASE("what is unusual in a chunk is left to the reader of all chunks") {
  const std::string json = GENERATE(from_range(kUnusual));
  CAPTURE(json);
  ServedChunk usual;
  CHECK_FALSE(read_token_event(json, usual));
}

TEST_CASE("a chunk that is cut off or damaged anywhere is never read as another one") {
  for (const std::string& whole : kUsual) {
    for (std::size_t at = 0; at < whole.size(); ++at) {
      for (const char byte : {'"', '}', ']', '0', ',', ' ', '\\'}) {
        std::string damaged = whole;
        damaged[at] = byte;
        for (const std::string& json : {whole.substr(0, at), damaged}) {
          ServedChunk usual;
          if (!read_token_event(json, usual)) continue;
          CAPTURE(json);
          const auto chunk = parse_served_chunk(json);
          REQUIRE_OK(chunk);
          REQUIRE(usual == *chunk);
        }
      }
    }
  }
}
