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

/// The text with every invalid byte sequence replaced by U+FFFD and control characters escaped, for messages.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace secondsource
