#pragma once
// The names of an enum's values as they appear in files and messages:
//
//   enum class Decision : std::uint8_t { kPass, kRegressed, kInconclusive };
//   SS_ENUM_NAMES(Decision, "pass", "regressed", "inconclusive")
//
//   to_string(Decision::kPass)                     // "pass"
//   enum_from_name<Decision>("regressed")          // Decision::kRegressed; nullopt for any other text
//
// The values must count up from 0 without gaps, in the order of the names.

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#define SS_ENUM_NAMES(Enum, ...)                           \
  constexpr auto names_of(Enum) {                          \
    return std::to_array<std::string_view>({__VA_ARGS__}); \
  }

namespace secondsource {

template <typename E>
concept NamedEnum = requires(E value) {
  names_of(value);
};

/// Empty for a number that is not a value of the enum.
template <NamedEnum E>
[[nodiscard]] constexpr std::string_view to_string(E value) {
  constexpr auto kNames = names_of(E{});
  const auto index = static_cast<std::size_t>(value);
  return index < kNames.size() ? kNames[index] : std::string_view();
}

template <NamedEnum E>
[[nodiscard]] constexpr std::optional<E> enum_from_name(std::string_view name) {
  constexpr auto kNames = names_of(E{});
  for (std::size_t index = 0; index < kNames.size(); ++index) {
    if (kNames[index] == name) return static_cast<E>(index);
  }
  return std::nullopt;
}

}  // namespace secondsource
