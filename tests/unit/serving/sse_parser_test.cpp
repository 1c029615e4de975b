// Expected values are worked out by hand from WHATWG HTML, section 9.2.6, "Interpreting an event stream".

#include "serving/sse_parser.h"

#include <string>
#include <vector>

#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

/// All events of a stream that arrives in pieces of `n_bytes`.
Result<std::vector<std::string>> events_of(std::string_view text, std::size_t n_bytes, std::size_t max_bytes = 1000) {
  SseParser parser(max_bytes);
  std::vector<std::string> events;
  const auto keep = [&](std::string_view data) -> Result<void> {
    events.emplace_back(data);
    return {};
  };
  for (std::size_t at = 0; at < text.size(); at += n_bytes) SS_TRY_VOID(parser.push(text.substr(at, n_bytes), keep));
  SS_TRY_VOID(parser.finish(keep));
  return events;
}

using Events = std::vector<std::string>;

}  // namespace

TEST_CASE("events are the same however the bytes are cut") {
  const auto [text, expected] = GENERATE(table<std::string, Events>({
      {"data: a\n\ndata: b\n\n", {"a", "b"}},
      {"data: a\r\n\r\ndata: b\r\n\r\n", {"a", "b"}},
      {"data: a\r\rdata: b\r\r", {"a", "b"}},
      {"data: a\r\n\ndata: b\n\r\n", {"a", "b"}},
      {"data:a\n\n", {"a"}},
      {"data:  a\n\n", {" a"}},
      {"data: first\ndata: second\n\n", {"first\nsecond"}},
      {": a comment\n\ndata: a\nid: 7\nevent: token\nretry: 10\n\n", {"a"}},
      {"\xEF\xBB\xBF"
       "data: a\n\n",
       {"a"}},
      {"data\n\n", {""}},
      {"\n\n\n", {}},
      {"event: ping\n\n", {}},
      {"data: a: b\n\n", {"a: b"}},
      {"data: a\n", {"a"}},  // servers that close at once omit the last empty line
      {"", {}},
  }));
  for (const std::size_t n_bytes : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{1000}}) {
    CAPTURE(text, n_bytes);
    const auto events = events_of(text, n_bytes);
    REQUIRE_OK(events);
    CHECK(*events == expected);
  }
}

TEST_CASE("what is no event stream is refused, with the line") {
  const auto [text, part] = GENERATE(table<std::string, std::string>({
      {"{\"choices\": []}\n\n", "expected a line \"data: ...\""},
      {"<html>\n", "<html>"},
      {"some text\n", "some text"},
      {"data: a\n\ndata: {\"cut", "found the end of the stream behind"},
  }));
  CAPTURE(text);
  CHECK_ERROR(events_of(text, 5), ErrorCode::kInvalidInput, part);
}

TEST_CASE("a line without an end and an event without an end are refused at the limit") {
  CHECK_ERROR(events_of("data: " + std::string(2000, 'x'), 100), ErrorCode::kInvalidInput, "at most 1000 bytes");
  std::string many;
  for (int i = 0; i < 200; ++i) many += "data: 123456\n";
  CHECK_ERROR(events_of(many, 100), ErrorCode::kInvalidInput, "at most 1000 bytes");
  REQUIRE_OK(events_of("data: " + std::string(900, 'x') + "\n\n", 100));
}

TEST_CASE("an error of the one who takes the events ends the parsing") {
  SseParser parser;
  int n = 0;
  const auto refuse = [&](std::string_view) -> Result<void> {
    ++n;
    return Error{ErrorCode::kInvalidInput, "enough"};
  };
  CHECK_ERROR(parser.push("data: a\n\ndata: b\n\n", refuse), ErrorCode::kInvalidInput, "enough");
  CHECK(n == 1);
}
