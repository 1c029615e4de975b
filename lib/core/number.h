#pragma once
// Numbers in text.

#include <charconv>
#include <cstddef>
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

/// A number at the beginning of a text, and what follows it.
template <typename T>
struct NumberPrefix {
  T value{};
  std::string_view rest;
};

/// nullopt for a text that does not begin with a number, or with one that T cannot hold.
template <typename T>
[[nodiscard]] std::optional<NumberPrefix<T>> parse_number_prefix(std::string_view text) {
  NumberPrefix<T> prefix;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), prefix.value);
  if (parsed.ec != std::errc()) return std::nullopt;
  prefix.rest = text.substr(static_cast<std::size_t>(parsed.ptr - text.data()));
  return prefix;
}

}  // namespace secondsource
