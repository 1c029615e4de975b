#pragma once
// White space as Python's str.strip() and its regular expressions see it.

#include <cstddef>
#include <string_view>

#include "tokenizer/unicode.h"

namespace secondsource::jinja {

/// Unicode's white space and four separators.
[[nodiscard]] inline bool is_white(char32_t code_point) {
  return tokenizer::is_whitespace(code_point) || (code_point >= 0x1c && code_point <= 0x1f);
}

/// Bytes of the white space at the beginning.
[[nodiscard]] inline std::size_t white_prefix(std::string_view text) {
  std::size_t n = 0;
  while (n < text.size()) {
    const tokenizer::Character character = tokenizer::character_at(text, n);
    if (!is_white(character.code_point)) break;
    n += character.length;
  }
  return n;
}

/// Bytes of the white space at the end.
[[nodiscard]] inline std::size_t white_suffix(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const tokenizer::Character character = tokenizer::character_before(text, end);
    if (!is_white(character.code_point)) break;
    end -= character.length;
  }
  return text.size() - end;
}

[[nodiscard]] inline std::string_view without_white_ends(std::string_view text) {
  text.remove_prefix(white_prefix(text));
  return text.substr(0, text.size() - white_suffix(text));
}

}  // namespace secondsource::jinja
