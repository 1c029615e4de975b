// The lines are as the three projects publish them. The counts of the real files were determined with `wc` and `awk`.

#include "measure/arrival_trace.h"

#include <string>
#include <vector>

#include "support/assets.h"
#include "support/result.h"

namespace secondsource {
namespace {

TEST_CASE("the three formats are told apart and read alike") {
  struct Case {
    const char* format;
    const char* text;
  };
  const Case cases[] = {
      {"azure",
       "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 23:59:59.5000000,374,44\r\n"
       "2023-11-17 00:00:01.2500000,396,109\r\n"},
      {"azure",
       "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.250000+00:00,374,44\n"
       "2024-05-10 00:00:02.000000+00:00,396,109"},
      {"burstgpt",
       "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
       "5.25,ChatGPT,374,44,418,Conversation log\n6,GPT-4,10,0,10,API log\n"
       "7,ChatGPT,396,109,505,Conversation log\n"},
      {"mooncake",
       "{\"timestamp\": 250, \"input_length\": 374, \"output_length\": 44, \"hash_ids\": [7]}\n"
       "{\"timestamp\": 2000, \"input_length\": 396, \"output_length\": 109, \"hash_ids\": [0]}\n"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.format);
    const auto trace = parse_arrival_trace(one.text, "trace");
    REQUIRE_OK(trace);
    CHECK(trace->format == one.format);
    REQUIRE(trace->entries.size() == 2);
    CHECK(trace->entries[0].at_ns == 0);
    CHECK(trace->entries[1].at_ns == 1'750'000'000);
    CHECK(trace->entries[0].n_prompt_tokens == 374);
    CHECK(trace->entries[1].n_output_tokens == 109);
    CHECK(trace->entries[0].blocks ==
          (one.format == std::string("mooncake") ? std::vector<std::int64_t>{7} : std::vector<std::int64_t>{}));
    CHECK(trace->n_left_out == (trace->format == "burstgpt" ? 1 : 0));
  }
}

TEST_CASE("requests come in the order of their times, whatever the order of the lines") {
  const auto trace = parse_arrival_trace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 10:00:02,2,1\n2023-11-16 10:00:00,1,1\n", "trace");
  REQUIRE_OK(trace);
  CHECK(trace->entries[0].n_prompt_tokens == 1);
  CHECK(trace->entries[1].at_ns == 2'000'000'000);
}

TEST_CASE("what is no trace is refused with its line") {
  struct Case {
    const char* text;
    const char* part;
  };
  const Case cases[] = {
      {"", "expected a trace"},
      {"time,in,out\n1,2,3\n", "another first line"},
      {"TIMESTAMP,ContextTokens,GeneratedTokens\n", "no request with an answer"},
      {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 10:00:02,2\n", "trace:2: expected a time"},
      {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-02-30 10:00:02,2,3\n", "trace:2: expected a time"},
      {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 25:00:02,2,3\n", "trace:2: expected a time"},
      {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 10:00:02,-2,3\n", "trace:2: expected a time and 0 to"},
      {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 10:00:02,2,9999999999\n", "trace:2"},
      {"Timestamp,Model,Request tokens,Response tokens\nnan,x,2,3\n", "trace:2"},
      {"{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1}\n{\"timestamp\": 1}\n", "trace:2: the line"},
      {"TIMESTAMP,ContextTokens,GeneratedTokens\n1012-01-02 03:04:05,17,4\n2024-01-02 03:04:06,9,3\n",
       "trace: expected arrivals within 3653 days, found 369"},
      {"{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1}\n"
       "{\"timestamp\": 1e300, \"input_length\": 1, \"output_length\": 1}\n",
       "trace: expected arrivals within 3653 days"},
      {"{\"timestamp\": 0,\n", "trace:1: the line"},
      {"{\"timestamp\": 0, \"input_length\": 512, \"output_length\": 1, \"hash_ids\": [1, 2]}\n",
       "trace:1: the line: hash_ids: expected a list of at most 1 blocks of 512 tokens"},
      {"{\"timestamp\": 0, \"input_length\": 512, \"output_length\": 1, \"hash_ids\": [-1]}\n",
       "whole numbers from 0 on"},
      {"{\"timestamp\": 0, \"input_length\": 512, \"output_length\": 1, \"hash_ids\": [1.5]}\n",
       "whole numbers from 0 on"},
      {"{\"timestamp\": 0, \"input_length\": 512, \"output_length\": 1, \"hash_ids\": [99999999999999999999]}\n",
       "trace:1"},
      {"{\"timestamp\": 0, \"input_length\": 512, \"output_length\": 1, \"hash_ids\": 7}\n", "a list of at most 1"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.text);
    CHECK_ERROR(parse_arrival_trace(one.text, "trace"), ErrorCode::kInvalidInput, one.part);
  }
}

TEST_CASE("real traces of Azure and Mooncake are read whole") {
  if (const auto path = test::asset("traces/azure_llm_2023_conv_first2000.csv")) {
    const auto trace = read_arrival_trace(*path);
    REQUIRE_OK(trace);
    CHECK(trace->entries.size() + static_cast<std::size_t>(trace->n_left_out) == 2000);
    CHECK(trace->entries[1].at_ns == Approx(4.314579e9).margin(1000));  // 18:15:50.9951690 - 18:15:46.6805900
    CHECK(trace->entries[0].n_prompt_tokens == 374);
  }
  if (const auto path = test::asset("traces/mooncake_conversation_first2000.jsonl")) {
    const auto trace = read_arrival_trace(*path);
    REQUIRE_OK(trace);
    CHECK(trace->entries.size() + static_cast<std::size_t>(trace->n_left_out) == 2000);
    CHECK(trace->entries[0].n_prompt_tokens == 6758);
    CHECK(trace->entries[0].blocks.size() == 14);
    CHECK(trace->entries.back().blocks == std::vector<std::int64_t>{0, 36636, 38787});
  }
}

}  // namespace
}  // namespace secondsource
