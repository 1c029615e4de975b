// A template ends in bounded time and memory, whatever it says.
#include <chrono>
#include <nlohmann/json.hpp>

#include "jinja/template.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::jinja {
namespace {

Result<std::string> render(std::string_view source, const Limits& limits = {}) {
  SS_TRY(const Template parsed, Template::parse(source, "t"));
  return parsed.render(nlohmann::ordered_json::object(), {.limits = limits});
}

constexpr Limits kSmall{.steps = 100'000, .memory_bytes = 1 << 20, .depth = 200};

TEST_CASE("a template that does not end within its limits is refused with a line that names the limit") {
  struct Case {
    const char* source;
    const char* why;
  };
  const Case one = GENERATE(values<Case>({
      {"{% for i in range(10**9) %}{% endfor %}", "range: expected at most 100000 numbers"},
      {"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "at most"},
      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "levels of nesting"},
      {"{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}", "levels of nesting"},
      {"{{ 'x' * 10**15 }}", "at most"},
      {"{{ [1] * 10**15 }}", "at most"},
      {"{{ 'x'.center(10**15) }}", "at most"},
      {"{{ '5'.zfill(10**12) }}", "at most"},
      {"{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}", "MiB"},
      {"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", "MiB"},
      {"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
       "at most"},
      {"{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}"
       "{% endfor %}{{ ns.x == ns.y }}",
       "steps"},
      {"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
       "at most"},
      {"{% set ns = namespace(x=1) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
       "200 levels deep"},
      {"{% set ns = namespace(x='x' * 1000) %}{% for i in range(9) %}{% set ns.x = ns.x.replace('x', ns.x) %}{% endfor %}",
       "MiB"},
      {"{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}", "levels of nesting"},
      {"{% for i in range(100000) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}",
       "at most"},
      {"{{ '%9999999d' % 1 }}", "width"},
      {"{{ ('x' * 600000) | list }}", "at most"},
      {"{{ 2 ** 64 }}", "64 bits"},
      {"{{ 9223372036854775807 + 1 }}", "64 bits"},
      {"{{ [1, 2] | batch(10**15, 0) | list }}", "at most"},
      {"{{ [1] | slice(10**15) | list }}", "at most"},
      {"{{ 'a' | indent(10**9) }}", "width"},
  }));
  CAPTURE(one.source);
  const auto started = std::chrono::steady_clock::now();
  const Result<std::string> text = render(one.source, kSmall);
  CHECK_ERROR(text, ErrorCode::kInvalidInput, one.why);
  CHECK_ERROR(text, ErrorCode::kInvalidInput, "t: line 1: ");
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(5));
}

TEST_CASE("the limits leave room for a long conversation") {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  for (int i = 0; i < 500; ++i) messages.push_back({{"role", "user"}, {"content", std::string(2000, 'x')}});
  const Result<Template> parsed = Template::parse(
      "{% set ns = namespace(all='') %}{% for m in messages %}{% set ns.all = ns.all ~ m.content | trim %}{% endfor %}{{ ns.all }}",
      "t");
  REQUIRE_OK(parsed);
  const Result<std::string> text = parsed->render({{"messages", messages}});
  REQUIRE_OK(text);
  CHECK(text->size() == 1'000'000);
}

TEST_CASE("a template nested without end in its text is refused before it is rendered") {
  const std::string brackets = std::string(100'000, '(') + "1" + std::string(100'000, ')');
  CHECK_ERROR(render("{{ " + brackets + " }}"), ErrorCode::kInvalidInput, "inside one another");
  std::string minus(100'000, '-');
  CHECK_ERROR(render("{{ " + minus + "1 }}"), ErrorCode::kInvalidInput, "inside one another");
  std::string tags;
  for (int i = 0; i < 100'000; ++i) tags += "{% if 1 %}";
  CHECK_ERROR(render(tags), ErrorCode::kInvalidInput, "inside one another");
  std::string sum = "{{ 1";
  for (int i = 0; i < 100'000; ++i) sum += "+1";
  CHECK_ERROR(render(sum + " }}"), ErrorCode::kInvalidInput, "levels of nesting");
  CHECK_ERROR(render(std::string(5 << 20, 'x')), ErrorCode::kInvalidInput, "at most 4 MiB");
}

}  // namespace
}  // namespace secondsource::jinja
