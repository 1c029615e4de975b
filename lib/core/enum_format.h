#pragma once
// Lets enums with names (enum_names.h) be arguments of fmt::format: "{}" prints the name.

#include <fmt/format.h>

#include <string_view>

#include "core/enum_names.h"

template <secondsource::NamedEnum E>
struct fmt::formatter<E> : fmt::formatter<std::string_view> {
  template <typename FormatContext>
  auto format(E value, FormatContext& context) const {
    return fmt::formatter<std::string_view>::format(secondsource::to_string(value), context);
  }
};
