#include "tokenizer/character_map.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"
#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {
namespace {

constexpr std::size_t kUnitBytes = 4;
/// Limits the growth of a text; the longest of Unicode's own compatibility mappings have 33 bytes.
constexpr std::size_t kMaxReplacementBytes = 256;
/// Longer graphemes are replaced character by character.
constexpr std::size_t kMaxGraphemeBytes = 5;

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < kUnitBytes; ++i) {
    value |= std::uint32_t{static_cast<std::uint8_t>(bytes[i])} << (8 * i);
  }
  return value;
}

// A unit of darts-clone's double array.
std::size_t offset_of(std::uint32_t unit) {
  return std::size_t{unit >> 10U} << ((unit & (1U << 9U)) >> 6U);
}
bool has_leaf(std::uint32_t unit) {
  return (unit >> 8U & 1U) != 0;
}
std::uint32_t label_of(std::uint32_t unit) {
  return unit & (1U << 31U | 0xffU);
}
std::size_t value_of(std::uint32_t leaf) {
  return leaf & ~(1U << 31U);
}

}  // namespace

Result<CharacterMap> CharacterMap::create(std::string_view bytes) {
  const std::size_t trie_bytes = bytes.size() < kUnitBytes ? 0 : little_endian(bytes);
  if (trie_bytes == 0 || trie_bytes % kUnitBytes != 0 || trie_bytes > bytes.size() - kUnitBytes) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("a map of characters: expected the size of a trie within {} bytes, found {}", bytes.size(),
                             trie_bytes)};
  }
  CharacterMap map;
  for (std::size_t at = 0; at < trie_bytes; at += kUnitBytes) {
    map.units_.push_back(little_endian(bytes.substr(kUnitBytes + at, kUnitBytes)));
  }
  map.replacements_ = bytes.substr(kUnitBytes + trie_bytes);
  if (const std::optional<std::size_t> offset = find_invalid_utf8(map.replacements_)) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("a map of characters: expected replacements in UTF-8, found an invalid byte at {}", *offset)};
  }
  for (std::size_t begin = 0; begin < map.replacements_.size();) {
    const std::size_t end = std::min(map.replacements_.find('\0', begin), map.replacements_.size());
    if (end - begin > kMaxReplacementBytes) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("a map of characters: expected replacements of at most {} bytes, found {}",
                               kMaxReplacementBytes, end - begin)};
    }
    begin = end + 1;
  }
  return map;
}

std::optional<std::string_view> CharacterMap::replacement_of(std::string_view text) const {
  std::size_t position = offset_of(units_.front());
  for (const char character : text) {
    const auto byte = static_cast<std::uint8_t>(character);
    if (byte == 0) return std::nullopt;
    position ^= byte;
    if (position >= units_.size() || label_of(units_[position]) != byte) return std::nullopt;
    const bool ends_here = has_leaf(units_[position]);
    position ^= offset_of(units_[position]);
    if (!ends_here) continue;
    if (position >= units_.size()) return std::nullopt;
    const std::size_t begin = value_of(units_[position]);
    const bool is_character =
        begin <= replacements_.size() && (begin == replacements_.size() || (replacements_[begin] & '\xc0') != '\x80');
    if (!is_character) return std::nullopt;
    const std::string_view rest = std::string_view(replacements_).substr(begin);
    return rest.substr(0, rest.find('\0'));
  }
  return std::nullopt;
}

void CharacterMap::append_replaced(std::string_view grapheme, std::string& out) const {
  if (grapheme.size() <= kMaxGraphemeBytes) {
    if (const std::optional<std::string_view> whole = replacement_of(grapheme)) {
      out += *whole;
      return;
    }
  }
  for (std::size_t offset = 0; offset < grapheme.size();) {
    const std::string_view character = grapheme.substr(offset, character_length(grapheme[offset]));
    out += replacement_of(character).value_or(character);
    offset += character.size();
  }
}

std::string CharacterMap::normalize(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  for (GraphemeFinder graphemes(text); !graphemes.at_end();) append_replaced(graphemes.next(), out);
  return out;
}

}  // namespace secondsource::tokenizer
