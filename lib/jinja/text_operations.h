#pragma once
// Operations of Python's str that methods and filters share.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/runtime.h"
#include "jinja/value.h"

namespace secondsource::jinja {

enum class Ends : std::uint8_t { kLeft, kRight, kBoth };

/// strip(), lstrip() and rstrip(): without white space, or without the characters of `chars`, at the ends.
[[nodiscard]] std::string_view stripped(std::string_view text, Ends ends, std::optional<std::string_view> chars);
/// replace(): at most `n` of them; a negative n means all.
[[nodiscard]] Value replaced(Runtime& runtime, std::string_view text, std::string_view old, std::string_view by,
                             std::int64_t n);
/// splitlines(): without the line ends unless `keeps_ends`.
[[nodiscard]] std::vector<std::string_view> lines_of(std::string_view text, bool keeps_ends = false);
/// The first character in upper case and the others in lower case.
[[nodiscard]] std::string capitalized(std::string_view text);
/// str.title(): every letter after none in upper case, the others in lower case.
[[nodiscard]] std::string titled(std::string_view text);
/// center(), ljust() and rjust(): `left_share` of the missing characters go to the left.
[[nodiscard]] Value padded(Runtime& runtime, const Text& text, std::int64_t width, std::string_view fill, Ends text_at);

}  // namespace secondsource::jinja
