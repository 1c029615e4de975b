#include "core/utf8.h"

#include <fmt/format.h>

#include <cstdint>

namespace secondsource {
namespace {

/// Length of the valid character at the front of `text`, 0 when there is none.
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
  std::size_t offset = 0;
  while (offset < text.size()) {
    const std::size_t length = valid_character_length(text.substr(offset));
    if (length == 0) {
      result += "\xef\xbf\xbd";
      ++offset;
      continue;
    }
    const auto lead = static_cast<std::uint8_t>(text[offset]);
    if (length == 1 && (lead < 0x20 || lead == 0x7f)) {
      fmt::format_to(std::back_inserter(result), "\\x{:02x}", lead);
    } else {
      result.append(text.substr(offset, length));
    }
    offset += length;
  }
  return result;
}

}  // namespace secondsource
