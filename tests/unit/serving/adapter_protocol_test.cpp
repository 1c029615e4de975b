// Tests the parser of the protocol in docs/adapters.md with hand-written lines: what is read from them, and which are refused.

#include "serving/adapter_protocol.h"

#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

template <typename Answer>
Answer read_as(std::string_view line) {
  CAPTURE(line);
  const auto answer = adapter_answer_from_line(line);
  REQUIRE_OK(answer);
  REQUIRE(std::holds_alternative<Answer>(*answer));
  return std::get<Answer>(*answer);
}

}  // namespace

TEST_CASE("each answer of an adapter is read") {
  const auto hello = read_as<AdapterHello>(
      R"({"say":"hello","protocol":1,"runtime":"r","versions":{"r":"1.0"},"settings":{"cache":"static"},)"
      R"("tokens":"ids","forced":"best","max_in_flight":4,"a member of a later version":1})");
  CHECK(hello.runtime == "r");
  CHECK(hello.forced == AdapterForced::kBest);
  CHECK(hello.max_in_flight == 4);
  CHECK(hello.settings == std::vector<std::pair<std::string, std::string>>{{"cache", "static"}});
  (void)read_as<AdapterLoaded>(R"({"say":"loaded"})");
  const auto step = read_as<AdapterStep>(
      R"({"say":"step","at_ns":12,"tokens":[{"request":3,"index":0,"id":7},{"request":4,"index":2,"text":" a"}]})");
  CHECK(step.at_ns == 12);
  REQUIRE(step.tokens.size() == 2);
  CHECK(step.tokens[0].id == 7);
  CHECK(step.tokens[1].id == -1);
  CHECK(step.tokens[1].text == " a");
  CHECK(read_as<AdapterEnd>(R"({"say":"end","request":3,"finish":"stop"})").finish == AdapterFinish::kStop);
  const auto scores = read_as<AdapterScores>(
      R"({"say":"scores","request":5,"scores":[{"logprob":-0.5,"best":9,"wanted":[-0.5,null]},{"logprob":null}]})");
  REQUIRE(scores.scores.size() == 2);
  CHECK(scores.scores[0].logprob == -0.5);
  CHECK(scores.scores[0].best == 9);
  CHECK(scores.scores[0].wanted == std::vector<std::optional<double>>{-0.5, std::nullopt});
  CHECK_FALSE(scores.scores[1].logprob);
  CHECK(read_as<AdapterFailure>(R"({"say":"error","kind":"out-of-memory","message":"m"})").kind ==
        AdapterFailureKind::kOutOfMemory);
}

TEST_CASE("a line that is none of the protocol is refused in one line") {
  struct Case {
    std::string line;
    const char* part;
  };
  const auto one = GENERATE(values<Case>({
      {"Loading checkpoint shards: 100%", "it wrote \"Loading checkpoint"},
      {"", "the adapter's line"},
      {"[]", "say: expected hello, loaded, step, end, scores or error"},
      {R"({"say":"greet"})", "found \"greet\""},
      {R"({"say":"step","at_ns":1})", "expected the key \"tokens\", found none"},
      {R"({"say":"step","at_ns":1,"tokens":[]})", "expected tokens, found none"},
      {R"({"say":"step","at_ns":1.5,"tokens":[{"request":1,"index":0,"id":1}]})", "expected an integer"},
      {R"({"say":"step","at_ns":1,"tokens":[{"request":1,"index":0,"id":-7}]})", "expected an id, found -7"},
      {R"({"say":"step","at_ns":1,"tokens":[{"request":1,"index":0,"id":4294967296}]})", "an integer in range"},
      {R"({"say":"step","at_ns":1,"tokens":[{"request":1,"id":4}]})", "expected the key \"index\", found none"},
      {R"({"say":"end","request":1,"finish":"error"})", "expected a message of the error"},
      {R"({"say":"end","request":1,"finish":"done"})", "expected one of length stop cancelled error"},
      {R"({"say":"scores","request":1,"scores":[{"logprob":0.5}]})", "a log-probability of 0.5"},
      {R"({"say":"scores","request":1,"scores":[{"logprob":-1,"wanted":[1e3]}]})", "a log-probability of 1000"},
      {R"({"say":"scores","request":1,"scores":[{"logprob":-1,"best":-1}]})", "expected an id, found -1"},
      {R"({"say":"scores","request":1,"scores":[{"logprob":NaN}]})", "the adapter's line"},
      {R"({"say":"hello","protocol":1,"runtime":"","versions":{},"settings":{},"tokens":"ids","forced":"none",)"
       R"("max_in_flight":1})",
       "expected the name of its runtime"},
      {R"({"say":"hello","protocol":1,"runtime":"r","versions":{},"settings":{},"tokens":"ids","forced":"none",)"
       R"("max_in_flight":0})",
       "max_in_flight: expected at least 1"},
      {R"({"say":"hello","protocol":1,"runtime":"r","versions":{"a":1},"settings":{},"tokens":"ids","forced":"none",)"
       R"("max_in_flight":1})",
       "versions: expected an object of strings"},
  }));
  CAPTURE(one.line);
  const auto answer = adapter_answer_from_line(one.line);
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::kInvalidInput);
  CHECK(answer.error().message.starts_with("the adapter"));
  CHECK(answer.error().message.find('\n') == std::string::npos);
  CAPTURE(answer.error().message);
  CHECK(answer.error().message.find(one.part) != std::string::npos);
}

TEST_CASE("what an adapter says of itself is made printable and short") {
  nlohmann::json tree = {{"say", "hello"},
                         {"protocol", 1},
                         {"runtime", "\x1b[2Jr"},
                         {"versions", {{"v", std::string(10'000, 'x')}}},
                         {"settings", nlohmann::json::object()},
                         {"tokens", "ids"},
                         {"forced", "none"},
                         {"max_in_flight", 1}};
  const auto hello = read_as<AdapterHello>(tree.dump());
  CHECK(hello.runtime.find('\x1b') == std::string::npos);
  CHECK(hello.versions.front().second.size() < 300);
  for (int index = 0; index < 100; ++index) tree["settings"]["s" + std::to_string(index)] = "x";
  CHECK_FALSE(adapter_answer_from_line(tree.dump()).has_value());
}

TEST_CASE("requests are one line each, with the members that the page names") {
  CHECK(to_line(AdapterRequest(AdapterHelloRequest{.options = {{"dtype", "float32"}}})) ==
        R"({"do":"hello","protocol":1,"options":{"dtype":"float32"}})");
  CHECK(to_line(AdapterRequest(AdapterLoadRequest{"/a b"})) == R"({"do":"load","model":"/a b"})");
  CHECK(to_line(AdapterRequest(AdapterGenerateRequest{7, {1, 2}, 3})) ==
        R"({"do":"generate","request":7,"ids":[1,2],"n_tokens":3})");
  CHECK(to_line(AdapterRequest(AdapterScoreRequest{8, {1, 2, 3}, 2, {{4, 5}}})) ==
        R"({"do":"score","request":8,"ids":[1,2,3],"n_prompt":2,"wanted":[[4,5]]})");
  CHECK(to_line(AdapterRequest(AdapterCancelRequest{9})) == R"({"do":"cancel","request":9})");
  CHECK(to_line(AdapterRequest(AdapterStopRequest{})) == R"({"do":"stop"})");
}
