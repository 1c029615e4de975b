#pragma once
// A number of things as text, with the noun in the singular or in the plural.

#include <fmt/format.h>

#include <concepts>
#include <string>
#include <string_view>

namespace secondsource {

/// "1 token", "2 tokens". `several` is given where it is not `one` with an s: "1 entry", "2 entries"; "1 run is", "2 runs are".
/// A number with a fraction has up to six digits: "0.5 tokens".
template <typename Count>
requires std::integral<Count> || std::floating_point<Count>
[[nodiscard]] std::string counted(Count n, std::string_view one, std::string_view several = {}) {
  if (n == 1) return fmt::format("1 {}", one);
  const std::string number = std::integral<Count> ? fmt::format("{}", n) : fmt::format("{:g}", static_cast<double>(n));
  return several.empty() ? fmt::format("{} {}s", number, one) : fmt::format("{} {}", number, several);
}

}  // namespace secondsource
