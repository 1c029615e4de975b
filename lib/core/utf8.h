#pragma once
// UTF-8 as bytes: is it valid, and where does the last whole character end.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace secondsource {

/// The offset of the first byte that is not valid UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF);
/// nullopt when all of it is valid.
[[nodiscard]] std::optional<std::size_t> find_invalid_utf8(std::string_view text);

/// The text with every invalid byte sequence replaced by U+FFFD, and written as escapes what does not show itself or
/// reorders what stands around it: control characters ("\x1b"), marks and overrides of direction, line separators, byte
/// order marks and noncharacters ("\u{202e}"). For messages and reports: names in a bundle are anybody's.
[[nodiscard]] std::string printable(std::string_view text);

/// The same cut to `max_characters`, with the number of bytes that there were: "aaaa… (100000 bytes)".
[[nodiscard]] std::string shown(std::string_view text, std::size_t max_characters = 200);

}  // namespace secondsource
