#include "core/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

namespace secondsource {
namespace {

/// Length of the valid character at the start of `text`; 0 if there is none.
std::size_t valid_character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const auto continues = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xc0U) == 0x80U; };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (!continues(1) || !continues(2)) return 0;
    if (lead == 0xe0 && byte(1) < 0xa0) return 0;   // overlong
    if (lead == 0xed && byte(1) >= 0xa0) return 0;  // surrogate
    return 3;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (lead == 0xf0 && byte(1) < 0x90) return 0;   // overlong
    if (lead == 0xf4 && byte(1) >= 0x90) return 0;  // above U+10FFFF
    return 4;
  }
  return 0;
}

/// The number of bytes at the start of `text` that are printable ASCII. Most texts are nothing else, and are then
/// copied whole instead of one character after the other.
std::size_t plain_length(std::string_view text) {
  const auto end = std::find_if(text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; });
  return static_cast<std::size_t>(end - text.begin());
}

/// The code point of one valid character.
std::uint32_t code_point_of(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<std::uint8_t>(character[i])); };
  constexpr std::array<std::uint32_t, 5> kLeadBits = {0, 0x7f, 0x1f, 0x0f, 0x07};
  std::uint32_t code_point = byte(0) & kLeadBits[character.size()];
  for (std::size_t i = 1; i < character.size(); ++i) code_point = code_point << 6U | (byte(i) & 0x3fU);
  return code_point;
}

/// True for a code point that is invisible or changes the order in which others are shown (Unicode Standard Annex 9,
/// and the report "Trojan Source").
bool misleads(std::uint32_t c) {
  struct Range {
    std::uint32_t first, last;
  };
  constexpr Range kRanges[] = {{0x7f, 0x9f},     {0x61c, 0x61c},   {0x200b, 0x200b},
                               {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
                               {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};
  if (c < 0x20 || (c & 0xfffeU) == 0xfffeU) return true;
  return std::any_of(std::begin(kRanges), std::end(kRanges), [&](Range r) { return r.first <= c && c <= r.last; });
}

void append_printable(std::string& out, std::string_view character, bool is_valid) {
  if (!is_valid) {
    out += "\xef\xbf\xbd";
    return;
  }
  const std::uint32_t code_point = code_point_of(character);
  if (!misleads(code_point)) {
    out += character;
  } else if (code_point < 0x80) {
    fmt::format_to(std::back_inserter(out), "\\x{:02x}", code_point);
  } else {
    fmt::format_to(std::back_inserter(out), "\\u{{{:04x}}}", code_point);
  }
}

}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  std::size_t offset = 0;
  while (offset < text.size()) {
    const std::size_t length = valid_character_length(text.substr(offset));
    if (length == 0) return offset;
    offset += length;
  }
  return std::nullopt;
}

std::string printable(std::string_view text) {
  std::string result;
  while (true) {
    const std::size_t plain = plain_length(text);
    result += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) return result;
    const std::size_t length = valid_character_length(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
    append_printable(result, character, length > 0);
    text.remove_prefix(character.size());
  }
}

std::string printable_lines(std::string_view text) {
  std::string result;
  while (true) {
    const std::size_t end = text.find_first_of("\n\t");
    result += printable(text.substr(0, end));
    if (end == std::string_view::npos) return result;
    result += text[end];
    text.remove_prefix(end + 1);
  }
}

std::string shown(std::string_view text, std::size_t max_characters) {
  std::size_t offset = plain_length(text.substr(0, max_characters));
  for (std::size_t n = offset; n < max_characters && offset < text.size(); ++n) {
    offset += std::max<std::size_t>(valid_character_length(text.substr(offset)), 1);
  }
  if (offset >= text.size()) return printable(text);
  return fmt::format("{}\u2026 ({} bytes)", printable(text.substr(0, offset)), text.size());
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kMaxCharacters = 80;
  return fmt::format("\"{}\"", shown(text, kMaxCharacters));
}

}  // namespace secondsource
