#include "jinja/text_operations.h"

#include <algorithm>

#include "jinja/whitespace.h"
#include "tokenizer/unicode.h"

namespace secondsource::jinja {
namespace {

bool is_line_end(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

}  // namespace

std::string_view stripped(std::string_view text, Ends ends, std::optional<std::string_view> chars) {
  const auto is_removed = [&](const tokenizer::Character& character, std::size_t at) {
    if (!chars) return is_white(character.code_point);
    const std::string_view bytes = text.substr(at, character.length);
    // A character's bytes are found in valid UTF-8 only where that character is.
    return chars->find(bytes) != std::string_view::npos;
  };
  if (ends != Ends::kRight) {
    while (!text.empty()) {
      const tokenizer::Character character = tokenizer::character_at(text, 0);
      if (!is_removed(character, 0)) break;
      text.remove_prefix(character.length);
    }
  }
  if (ends != Ends::kLeft) {
    while (!text.empty()) {
      const tokenizer::Character character = tokenizer::character_before(text, text.size());
      if (!is_removed(character, text.size() - character.length)) break;
      text.remove_suffix(character.length);
    }
  }
  return text;
}

Value replaced(Runtime& runtime, std::string_view text, std::string_view old, std::string_view by, std::int64_t n) {
  TextBuilder out(runtime);
  std::size_t from = 0;
  if (old.empty()) {  // between all characters, and at both ends
    for (std::size_t at = 0; n != 0 && runtime.spend(); --n) {
      out.add(by);
      if (at == text.size()) break;
      const std::size_t length = tokenizer::character_length(text[at]);
      out.add(text.substr(at, length));
      at += length;
      from = at;
    }
  } else {
    for (; n != 0 && runtime.spend(); --n) {
      const std::size_t found = text.find(old, from);
      if (found == std::string_view::npos) break;
      out.add(text.substr(from, found - from));
      out.add(by);
      from = found + old.size();
    }
  }
  out.add(text.substr(from));
  return out.text();
}

std::vector<std::string_view> lines_of(std::string_view text, bool keeps_ends) {
  std::vector<std::string_view> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin;
    std::size_t next = begin;
    while (next < text.size()) {
      const tokenizer::Character character = tokenizer::character_at(text, next);
      next += character.length;
      if (is_line_end(character.code_point)) {
        if (character.code_point == U'\r' && next < text.size() && text[next] == '\n') ++next;
        break;
      }
      end = next;
    }
    lines.push_back(text.substr(begin, (keeps_ends ? next : end) - begin));
    begin = next;
  }
  return lines;
}

std::string capitalized(std::string_view text) {
  if (text.empty()) return {};
  const std::size_t length = tokenizer::character_length(text[0]);
  return tokenizer::to_upper(text.substr(0, length)) + tokenizer::to_lower(text.substr(length));
}

std::string titled(std::string_view text) {
  std::string result;
  bool is_in_word = false;
  for (std::size_t i = 0; i < text.size();) {
    const tokenizer::Character character = tokenizer::character_at(text, i);
    const std::string_view bytes = text.substr(i, character.length);
    result += is_in_word ? tokenizer::to_lower(bytes) : tokenizer::to_upper(bytes);
    is_in_word = tokenizer::is_upper(character.code_point) || tokenizer::is_lower(character.code_point);
    i += character.length;
  }
  return result;
}

Value padded(Runtime& runtime, const Text& text, std::int64_t width, std::string_view fill, Ends text_at) {
  const std::int64_t n_missing = std::max<std::int64_t>(0, width - text.n_characters());
  // Python's center() puts the odd one to the left if the width is odd, too.
  const std::int64_t n_center = n_missing / 2 + (n_missing & width & 1);
  const std::int64_t n_left = text_at == Ends::kLeft ? 0 : text_at == Ends::kRight ? n_missing : n_center;
  TextBuilder out(runtime);
  for (std::int64_t i = 0; i < n_left && runtime.spend(); ++i) out.add(fill);
  out.add(text.bytes());
  for (std::int64_t i = n_left; i < n_missing && runtime.spend(); ++i) out.add(fill);
  return out.text();
}

}  // namespace secondsource::jinja
