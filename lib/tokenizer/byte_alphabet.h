#pragma once
// The byte-level alphabet of GPT-2: every byte has a printable character, so that a vocabulary of text can hold
// arbitrary bytes (Radford et al. 2019, encoder.py, bytes_to_unicode). Bytes that are printable Latin-1 stand for
// themselves; the other 68 become U+0100, U+0101, ... in order.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace secondsource::tokenizer {

/// The character that represents a byte.
[[nodiscard]] char32_t character_of_byte(std::uint8_t byte);

/// The byte that a character represents; nullopt for a character outside the alphabet.
[[nodiscard]] std::optional<std::uint8_t> byte_of_character(char32_t code_point);

/// The bytes written in the alphabet.
[[nodiscard]] std::string to_byte_alphabet(std::string_view bytes);

/// The bytes represented by a text of the alphabet; nullopt if a character is outside it. `text` must be valid UTF-8.
[[nodiscard]] std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace secondsource::tokenizer
