#pragma once
// UTF-8 as bytes: validation, and text made safe to print.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace secondsource {

/// The offset of the first byte that is not valid UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF);
/// nullopt when the whole text is valid.
[[nodiscard]] std::optional<std::size_t> find_invalid_utf8(std::string_view text);

/// The text made safe for messages and reports, since names in a bundle are untrusted. Every invalid byte sequence
/// becomes U+FFFD. Characters that are invisible or change the order of the text around them become escapes: control
/// characters ("\x1b"), direction marks and overrides, line separators, byte order marks and noncharacters
/// ("\u{202e}").
[[nodiscard]] std::string printable(std::string_view text);

/// Applies printable() to each line and keeps newlines and tabs. For text whose line breaks are the program's own.
[[nodiscard]] std::string printable_lines(std::string_view text);

/// printable() cut to `max_characters`, followed by the original number of bytes: "aaaa… (100000 bytes)".
[[nodiscard]] std::string shown(std::string_view text, std::size_t max_characters = 200);

/// A value that a message repeats, in quotes and cut to a readable length: expected a date, found "tomorrow".
[[nodiscard]] std::string in_quotes(std::string_view text);

}  // namespace secondsource
