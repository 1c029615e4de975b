// Tests that the work which a tokenizer file can demand (searches, replacements, added tokens) is bounded by the length of the text.
#include <fmt/format.h>

#include <algorithm>

#include "core/random.h"
#include "support/catch.h"
#include "support/result.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/regex.h"

namespace secondsource::tokenizer {
namespace {

TEST_CASE("the steps of all matches in a text are limited together, not those of each match") {
  // Each match in 22 KB stays below the limit of a single match, but all of them together would take half a minute.
  Result<Regex> regex = Regex::compile("(?:a+)+b|a");
  REQUIRE_OK(regex);
  const Pattern pattern = std::move(regex).value();
  const std::string text(22'000, 'a');
  RegexScratch scratch;
  scratch.begin_text(text.size());
  const std::uint64_t n_steps = scratch.steps_left();
  CHECK_ERROR(replace_all(text, pattern, "x", scratch), ErrorCode::kInvalidInput, "match limit");
  CHECK(scratch.steps_left() < n_steps);

  // The matches of a real tokenizer's pattern are not charged to the budget, however long the text is.
  Result<Regex> real = Regex::compile(
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  REQUIRE_OK(real);
  const Pattern words = std::move(real).value();
  scratch.begin_text(0);
  const std::uint64_t before = scratch.steps_left();
  std::string prose;
  for (int i = 0; i < 2000; ++i) prose += "It's  a \n\n\tword, 12345 of caf\u00e9!! ";
  REQUIRE_OK(replace_all(prose, words, "x", scratch));
  CHECK(scratch.steps_left() == before);
}

TEST_CASE("a normalizer may not let a text grow beyond its budget, in one step or in many") {
  RegexScratch scratch;
  std::vector<NormalizerStep> doubling;
  for (int i = 0; i < 31; ++i) doubling.emplace_back(ReplaceNormalizer{Pattern("a"), "aa"});
  scratch.begin_text(1);
  CHECK_ERROR(normalize("a", doubling, scratch), ErrorCode::kInvalidInput, "grow by at most");
  std::vector<NormalizerStep> huge;
  huge.emplace_back(ReplaceNormalizer{Pattern("a"), std::string(1 << 20, 'x')});
  scratch.begin_text(1000);
  CHECK_ERROR(normalize(std::string(1000, 'a'), huge, scratch), ErrorCode::kInvalidInput, "grow by at most");
  std::vector<NormalizerStep> usual;
  usual.emplace_back(ReplaceNormalizer{Pattern(" "), "\u2581"});
  scratch.begin_text(1 << 20);
  CHECK(normalize(std::string(1 << 20, ' '), usual, scratch).value().size() == 3 << 20);
}

TEST_CASE("added tokens are found as a plain search finds them, the leftmost first and of these the longest") {
  RandomStream random(3);
  for (int round = 0; round < 300; ++round) {
    AddedTokenMatcher matcher;
    std::vector<std::string> patterns;
    for (std::uint64_t n = 1 + random.next_below(6); n > 0; --n) {
      std::string pattern;
      for (std::uint64_t i = 1 + random.next_below(5); i > 0; --i)
        pattern += static_cast<char>('a' + random.next_below(2));
      if (std::find(patterns.begin(), patterns.end(), pattern) != patterns.end()) continue;
      matcher.add({.id = static_cast<std::int32_t>(patterns.size()), .content = pattern}, pattern);
      patterns.push_back(pattern);
    }
    matcher.finish();
    std::string text;
    for (int i = 0; i < 60; ++i) text += static_cast<char>('a' + random.next_below(3));
    std::vector<AddedTokenSpan> spans;
    matcher.split(text, true, spans);
    std::string found;
    for (const AddedTokenSpan& span : spans) found += fmt::format("{}:{}-{} ", span.id, span.begin, span.end);
    std::string expected;
    std::size_t plain_begin = 0;
    for (std::size_t at = 0; at <= text.size();) {
      std::int32_t best = -1;
      for (std::size_t i = 0; i < patterns.size(); ++i) {
        const bool fits = text.compare(at, patterns[i].size(), patterns[i]) == 0;
        if (fits && (best < 0 || patterns[i].size() > patterns[static_cast<std::size_t>(best)].size()))
          best = static_cast<std::int32_t>(i);
      }
      if ((best >= 0 || at == text.size()) && plain_begin < at) expected += fmt::format("-1:{}-{} ", plain_begin, at);
      if (best >= 0) {
        const std::size_t end = at + patterns[static_cast<std::size_t>(best)].size();
        expected += fmt::format("{}:{}-{} ", best, at, end);
        plain_begin = at = end;
      } else {
        ++at;
      }
    }
    CAPTURE(text, patterns);
    CHECK(found == expected);
  }
}

TEST_CASE("thousands of added tokens with one long prefix do not slow a text down") {
  // A search that starts again at each position would compare 2 000 bytes of the common prefix at each of eight million
  // positions.
  AddedTokenMatcher matcher;
  for (std::int32_t i = 0; i < 2000; ++i) {
    const std::string pattern = std::string(2000, 'a') + std::to_string(i);
    matcher.add({.id = i, .content = pattern}, pattern);
  }
  matcher.finish();
  const std::string text = std::string(8'000'000, 'a') + "17";
  std::vector<AddedTokenSpan> spans;
  matcher.split(text, true, spans);
  REQUIRE(spans.size() == 2);
  CHECK(spans[1].id == 17);
  CHECK(spans[1].begin == 8'000'000 - 2000);
  // The tokens are white space and also strip white space, and the text consists of white space only.
  AddedTokenMatcher blank;
  blank.add({.id = 1, .content = " ", .lstrip = true, .rstrip = true}, " ");
  blank.finish();
  spans.clear();
  blank.split(std::string(1'000'000, ' '), true, spans);
  CHECK(spans.front().end == 1'000'000);
}

}  // namespace
}  // namespace secondsource::tokenizer
