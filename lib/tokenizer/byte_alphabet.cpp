#include "tokenizer/byte_alphabet.h"

#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

struct Alphabet {
  std::array<char32_t, 256> characters{};
  // Indexed by code point; the alphabet ends at U+0143.
  std::array<std::int16_t, 0x144> bytes{};
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  alphabet.bytes.fill(-1);
  char32_t next_free = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char32_t character = stands_for_itself(byte) ? static_cast<char32_t>(byte) : next_free++;
    alphabet.characters[byte] = character;
    alphabet.bytes[character] = static_cast<std::int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

char32_t character_of_byte(std::uint8_t byte) {
  return kAlphabet.characters[byte];
}

std::optional<std::uint8_t> byte_of_character(char32_t code_point) {
  if (code_point >= kAlphabet.bytes.size() || kAlphabet.bytes[code_point] < 0) return std::nullopt;
  return static_cast<std::uint8_t>(kAlphabet.bytes[code_point]);
}

std::string to_byte_alphabet(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) append_character(text, character_of_byte(static_cast<std::uint8_t>(byte)));
  return text;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t offset = 0; offset < text.size();) {
    const Character character = character_at(text, offset);
    const std::optional<std::uint8_t> byte = byte_of_character(character.code_point);
    if (!byte) return std::nullopt;
    bytes.push_back(static_cast<char>(*byte));
    offset += character.length;
  }
  return bytes;
}

}  // namespace secondsource::tokenizer
