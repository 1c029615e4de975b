#pragma once
// Numbers in text.

#include <charconv>
#include <optional>
#include <string_view>

namespace secondsource {

/// The number that is the whole of `text`, as std::from_chars reads it (no white space, no leading plus); nullopt for
/// any other text, and for a number that T cannot hold. T: an integer type or double.
template <typename T>
[[nodiscard]] std::optional<T> parse_number(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

/// The same into `value`, which stays as it is where false is returned.
template <typename T>
[[nodiscard]] bool read_number(std::string_view text, T& value) {
  const std::optional<T> parsed = parse_number<T>(text);
  if (parsed) value = *parsed;
  return parsed.has_value();
}

}  // namespace secondsource
