#pragma once
// Properties and conversions of Unicode characters for the tokenizer. All text passed in must be valid UTF-8; the entry
// points of this library check it.

#include <cstddef>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource::tokenizer {

/// One character of valid UTF-8 and its length in bytes.
struct Character {
  char32_t code_point = 0;
  std::size_t length = 0;
};

/// Length in bytes of the character whose first byte is `lead`.
[[nodiscard]] constexpr std::size_t character_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  if (byte < 0x80) return 1;
  if (byte < 0xe0) return 2;
  return byte < 0xf0 ? 3 : 4;
}

/// The character at `offset` (< text.size()).
[[nodiscard]] Character character_at(std::string_view text, std::size_t offset);

/// The character that ends at `end` (> 0).
[[nodiscard]] Character character_before(std::string_view text, std::size_t end);

/// Appends a character as UTF-8.
void append_character(std::string& text, char32_t code_point);

/// Appends bytes as UTF-8, with U+FFFD for each maximal invalid part (Unicode 15, section 3.9, "substitution of maximal
/// subparts"). Returns the number of bytes consumed: all of them with `is_last`, otherwise all except an incomplete
/// last character that more bytes could still complete.
std::size_t append_lossy(std::string& text, std::string_view bytes, bool is_last);

/// True for the general categories Nd, Nl and No.
[[nodiscard]] bool is_numeric(char32_t code_point);
/// True for characters with the property White_Space.
[[nodiscard]] bool is_whitespace(char32_t code_point);
/// True for ASCII punctuation and symbols, and for the general categories P*.
[[nodiscard]] bool is_punctuation(char32_t code_point);
/// True for letters, marks, letter numbers, decimal digits, connector punctuation and joiners: \w of Unicode regular
/// expressions.
[[nodiscard]] bool is_word(char32_t code_point);
/// True for the general categories Mn, Mc and Me.
[[nodiscard]] bool is_mark(char32_t code_point);

/// True for the general categories L*.
[[nodiscard]] bool is_letter(char32_t code_point);
/// True for the general category Nd.
[[nodiscard]] bool is_decimal(char32_t code_point);
/// True for letters in upper case, and for those in lower case.
[[nodiscard]] bool is_upper(char32_t code_point);
[[nodiscard]] bool is_lower(char32_t code_point);
/// True for the space and for every character that is no separator, control, format, private or unassigned one.
[[nodiscard]] bool is_printable(char32_t code_point);

/// Converts each character to lower case without regard to context (U+0130 becomes two characters).
[[nodiscard]] std::string to_lower(std::string_view text);
/// The full case folding of Unicode, by which texts are equal without regard to case: "ß" becomes "ss".
Result<std::string> case_folded(std::string_view text);
/// Converts each character to upper case, one character for one except that U+00DF becomes "SS".
[[nodiscard]] std::string to_upper(std::string_view text);

/// Cuts a text into extended grapheme clusters (UAX 29): what a reader takes for one character.
class GraphemeFinder {
 public:
  explicit GraphemeFinder(std::string_view text) : text_(text) {}
  [[nodiscard]] bool at_end() const { return offset_ == text_.size(); }
  /// The next cluster; not at the end.
  std::string_view next();

 private:
  std::string_view text_;
  std::size_t offset_ = 0;
};

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };
/// The given normalization form of a text, through utf8proc. Errors: kOutOfMemory.
Result<std::string> normalize_unicode(std::string_view text, UnicodeForm form);

}  // namespace secondsource::tokenizer
