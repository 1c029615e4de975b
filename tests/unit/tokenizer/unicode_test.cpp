#include "tokenizer/unicode.h"

#include "support/catch.h"
#include "support/result.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/regex.h"

namespace secondsource::tokenizer {
namespace {

TEST_CASE("characters are read and written at every length") {
  for (const char32_t code_point :
       {U'\0', U'A', U'\x7f', U'\x80', U'\u07ff', U'\u0800', U'\uffff', U'\U00010000', U'\U0010ffff'}) {
    std::string text;
    append_character(text, code_point);
    const Character character = character_at(text, 0);
    CHECK(character.code_point == code_point);
    CHECK(character.length == text.size());
    CHECK(character_length(text[0]) == text.size());
    CHECK(character_before("x" + text, text.size() + 1).code_point == code_point);
  }
}

TEST_CASE("broken UTF-8 becomes one U+FFFD per maximal subpart") {
  // The expected values come from Python's bytes.decode("utf-8", errors="replace").
  const struct {
    std::string bytes;
    std::string expected;
  } cases[] = {
      {"a\xffz", "a\ufffdz"},
      {"\xe2\x82", "\ufffd"},
      {"\xe2\x82x", "\ufffdx"},
      {"\xf0\x9f\xa6\xf0\x9f\xa6\x99", "\ufffd\U0001f999"},
      {"\xe0\x80\x80", "\ufffd\ufffd\ufffd"},
      {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
      {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
      {"\xc0\xaf", "\ufffd\ufffd"},
  };
  for (const auto& one : cases) {
    std::string text;
    CHECK(append_lossy(text, one.bytes, true) == one.bytes.size());
    CHECK(text == one.expected);
  }
  std::string text;
  CHECK(append_lossy(text, "a\xf0\x9f", false) == 1);
  CHECK(text == "a");
}

TEST_CASE("normal forms are those of Unicode") {
  // The expected values come from Python's unicodedata.normalize.
  CHECK(*normalize_unicode("e\u0301", UnicodeForm::kNfc) == "\u00e9");
  CHECK(*normalize_unicode("\u00e9", UnicodeForm::kNfd) == "e\u0301");
  CHECK(*normalize_unicode("\ufb01\u00bd", UnicodeForm::kNfkc) == "fi1\u20442");
  CHECK(*normalize_unicode("\u1e9b\u0323", UnicodeForm::kNfkd) == "s\u0323\u0307");
  CHECK(*normalize_unicode("\u1e9b\u0323", UnicodeForm::kNfc) == "\u1e9b\u0323");
  // utf8proc 2.8 drops U+11A7 after a syllable of Hangul.
  CHECK(*normalize_unicode("\uac00\u11a7", UnicodeForm::kNfc) == "\uac00\u11a7");
  CHECK(*normalize_unicode("x\u1112\u1175\u11a7\u0301e\u0301\u11a7", UnicodeForm::kNfkc) ==
        "x\ud788\u11a7\u0301\u00e9\u11a7");
  CHECK(*normalize_unicode("\uac00\u11a8", UnicodeForm::kNfc) == "\uac01");
  CHECK(*normalize_unicode("\uac00\u11a7", UnicodeForm::kNfd) == "\u1100\u1161\u11a7");
  CHECK(*normalize_unicode(std::string_view("a\0b", 3), UnicodeForm::kNfc) == std::string_view("a\0b", 3));
  CHECK(to_lower("\u0130\u03a3\u1e9e") == "i\u0307\u03c3\u00df");
}

TEST_CASE("letters in circles and squares are parts of words") {
  // The step Whitespace of `tokenizers` 0.23.3 joins each of these with the letter before it, and not their neighbours.
  for (const char32_t c :
       {U'\u24b6', U'\U0001f130', U'\U0001f149', U'\U0001f150', U'\U0001f169', U'\U0001f170', U'\U0001f189'}) {
    CHECK(is_word(c));
  }
  for (const char32_t c : {U'\u2460', U'\U0001f12f', U'\U0001f14a', U'\U0001f14f', U'\U0001f16a', U'\U0001f18a'}) {
    CHECK_FALSE(is_word(c));
  }
}

TEST_CASE("the byte alphabet has a character for each byte and back") {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  const std::string text = to_byte_alphabet(bytes);
  CHECK(from_byte_alphabet(text) == bytes);
  // Radford et al. 2019, encoder.py: space is U+0120, newline U+010A, 0xAD U+0143.
  CHECK(to_byte_alphabet(" \n\xad") == "\u0120\u010a\u0143");
  CHECK_FALSE(from_byte_alphabet("\u0144"));
  CHECK_FALSE(from_byte_alphabet(" "));
}

TEST_CASE("patterns that cannot be kept safe or right are refused with a line") {
  CHECK_ERROR(Regex::compile("a["), ErrorCode::kInvalidInput, "regex \"a[\": offset 2: missing terminating ]");
  CHECK_ERROR(Regex::compile("[a[b]]"), ErrorCode::kInvalidInput, "a class inside a class");
  CHECK_ERROR(Regex::compile("[a&&b]"), ErrorCode::kInvalidInput, "class intersection");
  CHECK_ERROR(Regex::compile("\\C"), ErrorCode::kInvalidInput, "\\C");
  CHECK_ERROR(Regex::compile(std::string(20000, 'a')), ErrorCode::kInvalidInput, "expected at most 16384 bytes");
  RegexScratch scratch;
  const Result<Regex> catastrophic = Regex::compile("(a+)+$");
  REQUIRE_OK(catastrophic);
  CHECK_ERROR(catastrophic->find(std::string(64, 'a') + "!", 0, scratch), ErrorCode::kInvalidInput, "match limit");
}

}  // namespace
}  // namespace secondsource::tokenizer
