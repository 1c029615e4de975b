// Every error is one line with the template, the line in it, what was expected and what was found.
#include <nlohmann/json.hpp>

#include "jinja/template.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::jinja {
namespace {

Result<std::string> render_messages(std::string_view source) {
  SS_TRY(const Template parsed, Template::parse(source, "chat.jinja"));
  return parsed.render({{"messages", nlohmann::ordered_json::array()}, {"name", "x"}});
}

TEST_CASE("an error names the line of the template, the expectation and the finding") {
  struct Case {
    const char* source;
    const char* message;
  };
  const Case one = GENERATE(values<Case>({
      {"a\n\n{{ missing.role }}", "chat.jinja: line 3: expected \"missing\" to be defined, found it undefined"},
      {"{{ name.role.x }}",
       "chat.jinja: line 1: expected an attribute that is there, found none: str has no attribute \"role\""},
      {"{{ 1 +\n'a' }}", "+: expected operands that fit, found int and str"},
      {"{{ raise_exception('no\nsystem') }}", "the template refuses this conversation: no\\x0asystem"},
      {"\n{{ name | nope }}", "line 2: expected a known filter, found \"nope\""},
      {"{{ name is nope }}", "expected a known test, found \"nope\""},
      {"{% if 1 %}x", "line 1: expected {% endif %}, found the end of the template"},
      {"{% fi %}", "expected a known tag, found \"fi\""},
      {"x\n{% include 'y' %}", "line 2: expected a template in one text, found the tag \"include\""},
      {"{{ 'a", "expected the end of a text in quotes"},
      {"{# a", "expected the end of a comment"},
      {"{{ (1] }}", "expected ')', found ']'"},
      {"{{ 99999999999999999999 }}", "expected a whole number of 64 bits"},
      {"{{ [].append(1) }}", "expected a method that changes nothing, found list.append"},
      {"{{ name.__class__.x }}", "str has no attribute \"__class__\""},
      {"\xff", "chat.jinja: expected UTF-8"},
      {"{{ name('x') }}", "expected a function to call, found str"},
      {"{{ name | replace('a') }}", "replace: expected the argument new, found none"},
      {"{{ name | upper(1) }}", "upper: expected at most 0 arguments, found 1"},
      {"{{ strftime_now('%Q') }}", "strftime_now: expected a known conversion"},
  }));
  CAPTURE(one.source);
  const Result<std::string> text = render_messages(one.source);
  REQUIRE_FALSE(text);
  CAPTURE(text.error().message);
  CHECK(text.error().message.find(one.message) != std::string::npos);
  CHECK(text.error().message.find('\n') == std::string::npos);
}

TEST_CASE("the day of strftime_now is the one that is given, and must be a day") {
  const Result<Template> parsed = Template::parse("{{ strftime_now('%d %b %Y') }}", "t");
  REQUIRE_OK(parsed);
  CHECK(*parsed->render(nlohmann::ordered_json::object(), {.date = "2026-02-28"}) == "28 Feb 2026");
  CHECK_ERROR(parsed->render(nlohmann::ordered_json::object(), {.date = "2026-02-30"}), ErrorCode::kInvalidInput,
              "expected a date YYYY-MM-DD for strftime_now, found \"2026-02-30\"");
}

}  // namespace
}  // namespace secondsource::jinja
