// Compares patterns with the output of Oniguruma: patterns.json in tests/data/tokenizer, made by make_patterns.py beside it with the
// Hugging Face `tokenizers` package 0.23.3.
#include "tokenizer/oniguruma.h"

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"
#include "tokenizer/pattern.h"

namespace secondsource::tokenizer {
namespace {

TEST_CASE("patterns match what they match in Oniguruma") {
  const Result<std::string> text = read_file(test::data_file("tokenizer/patterns.json"));
  REQUIRE_OK(text);
  const auto rows = nlohmann::json::parse(*text)["rows"];
  CHECK(rows.size() > 130);
  for (const nlohmann::json& row : rows) {
    const std::string pattern = row[0];
    CAPTURE(pattern);
    Result<Regex> regex = Regex::compile(pattern);
    REQUIRE_OK(regex);
    RegexScratch scratch;
    const Result<std::string> replaced =
        replace_all(row[1].get<std::string>(), Pattern(*std::move(regex)), "#", scratch);
    REQUIRE_OK(replaced);
    CHECK(*replaced == row[2].get<std::string>());
  }
}

TEST_CASE("what cannot be said to PCRE2 is refused by its name") {
  const auto check_refused = [](std::string_view pattern, std::string_view message) {
    CAPTURE(pattern);
    CHECK_ERROR(pattern_for_pcre2(pattern), ErrorCode::kInvalidInput, message);
  };
  check_refused(R"(a\X)", "offset 1: \\X is not supported");  // PCRE2 10.42 joins emoji that Unicode keeps apart
  check_refused(R"(\Qa\E)", "offset 0: \\Q is not supported");
  check_refused(R"([\R])", "offset 1: \\R is not supported");
  check_refused(R"(\V)", "offset 0: \\V is not supported");
  check_refused(R"(\pL)", "offset 0: expected the name of a property in braces after \\p");
  check_refused(R"(\p{Letter})", "offset 0: the property \"Letter\" is not known");
  check_refused(R"(\p{sc:Han})", "offset 0: the property \"sc:Han\" is not known");
  check_refused(R"(\xe4\xb8)", "offset 0: a byte that is no character is not supported");
  check_refused(R"(\u12)", "offset 0: expected four hexadecimal digits after \\u");
  check_refused(R"([[:foo:]])", "offset 1: the class \"foo\" is not known");
  check_refused(R"([a[:alpha]])", "offset 2: a class inside a class is not supported");
  check_refused(R"([\s-z])", "offset 3: expected no range that begins with a class");
  check_refused(R"((?x:a b))", "offset 0: the option x of a group is not supported");
  check_refused(R"((?i:b[\p{Lu}]))", "offset 6: this property in a class that ignores case is not supported");
  check_refused("a\\", "offset 1: expected a character after the \\");
  check_refused("[a\\", "offset 2: expected a character after the \\");
  check_refused("(?i", "offset 0: expected a ) at the end of the group");
}

}  // namespace
}  // namespace secondsource::tokenizer
