// Strict JSON. The lists of texts to accept and refuse are JSONTestSuite (assets/hostile/json), whose file names state
// the expectation.
#include "core/json.h"

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

const JsonLimits kAsSyntax{.max_depth = 512, .allow_duplicate_keys = true};

TEST_CASE("JSONTestSuite's n_ files are refused and its y_ files accepted") {
  const auto folder = test::asset("hostile/json");
  if (!folder) return;
  const auto list = read_file(*folder / "expected.json");
  REQUIRE_OK(list);
  const nlohmann::json expected = nlohmann::json::parse(*list);
  int n_checked = 0;
  for (const auto& entry : expected["cases"]) {
    const auto file = entry["file"].get<std::string>();
    const auto text = read_file(*folder / file);
    REQUIRE_OK(text);
    const Result<void> checked = check_json(*text, file, kAsSyntax);
    const auto parsed = parse_json(*text, file, kAsSyntax);
    CAPTURE(file);
    CHECK(checked.has_value() == parsed.has_value());
    if (!entry["accept"].is_null()) CHECK(checked.has_value() == entry["accept"].get<bool>());
    if (!checked) CHECK(checked.error().message.find('\n') == std::string::npos);
    if (parsed) CHECK(*parsed == nlohmann::json::parse(*text));
    ++n_checked;
  }
  CHECK(n_checked > 150);
}

TEST_CASE("an error in JSON names the file, the line and the column") {
  CHECK_ERROR(parse_json("{\n  \"a\": 1,\n  \"b\" 2\n}", "config.json"), ErrorCode::kInvalidInput,
              "config.json: expected JSON: line 3, column");
}

TEST_CASE("JSON beyond a limit is refused") {
  const auto [text, part] = GENERATE(table<std::string, std::string>({
      {std::string(100000, '['), "levels of nesting"},
      {std::string(70, '[') + std::string(70, ']'), "at most 64 levels"},
      {R"({"a": 1, "a": 2})", "the key \"a\" occurs twice"},
      {R"({"x": [{"k": 1}, {"k": 1, "j": 0, "k": 1}]})", "the key \"k\" occurs twice"},
      {"1e999", "number overflow"},
      {"[\"\xff\"]", "expected UTF-8, found the byte 0xff"},
      {"", "expected JSON"},
  }));
  CHECK_ERROR(parse_json(text, "x"), ErrorCode::kInvalidInput, part);
  CHECK_ERROR(check_json(text, "x"), ErrorCode::kInvalidInput, part);
}

TEST_CASE("JSON larger than the limit is refused before it is read") {
  CHECK_ERROR(parse_json("[1, 2, 3]", "x", {.max_bytes = 4}), ErrorCode::kInvalidInput,
              "at most 4 bytes of JSON, found 9");
}

TEST_CASE("a zero byte does not end JSON and hide what follows") {
  const std::string text("{\"a\": 1}\0{\"a\": 2}", 17);
  CHECK_ERROR(parse_json(text, "x"), ErrorCode::kInvalidInput, "x: line 1, column 9: expected JSON, found a zero byte");
  CHECK_ERROR(check_json(text, "x"), ErrorCode::kInvalidInput, "found a zero byte");
}

TEST_CASE("the number of values and of line breaks is limited, however few bytes they take") {
  const JsonLimits ten{.max_values = 10};
  REQUIRE_OK(parse_json("[1, [], {\"a\": 1, \"b\": {}}, null, \"x\"]", "x", ten));
  for (const std::string& text : {std::string("[1, [], {\"a\": 1, \"b\": {}}, null, \"x\", 2]"),
                                  std::string("[[],[],[],[],[],[],[],[],[],[]]")}) {
    CAPTURE(text);
    CHECK_FALSE(parse_json(text, "x", ten).has_value());
    CHECK_FALSE(check_json(text, "x", ten).has_value());
  }
  CHECK_ERROR(parse_json("[[],[],[],[],[],[],[],[],[],[],[]]", "x", ten), ErrorCode::kInvalidInput,
              "expected at most 10 values");
  CHECK_ERROR(parse_json("[" + std::string(11, '\n') + "]", "x", ten), ErrorCode::kInvalidInput,
              "at most 10 line breaks and tabs, found 11");
}

TEST_CASE("a message about JSON repeats neither a long number nor a long key") {
  const std::string huge(1 << 20, '7');
  for (const std::string& text : {huge, "{\"" + huge + "\": 1, \"" + huge + "\": 2}", "[" + huge + "x"}) {
    const auto parsed = parse_json(text, "x");
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error().message.size() < 400);
  }
}

TEST_CASE("the parsed tree is that of nlohmann's own parser") {
  const std::string text =
      R"({"z": [1, -2, 3.5, {"deep": [[], {}, null]}], "a": {"b": "\u00e9\ud83d\ude00"}, "t": true})";
  const auto parsed = parse_json(text, "x");
  REQUIRE_OK(parsed);
  CHECK(*parsed == nlohmann::json::parse(text));
}

}  // namespace
}  // namespace secondsource
