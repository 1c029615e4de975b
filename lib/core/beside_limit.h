#pragma once
// Formats a number that is shown beside the limit that it is compared with.

#include <fmt/format.h>

#include <cstdlib>
#include <string>

namespace secondsource {

/// `value` with `decimals` digits behind the point, or with as many more as it takes to read on the same side of `limit`
/// as it is: "9" beside 10, and "9.997" rather than a "10" that looks like the limit.
[[nodiscard]] inline std::string text_beside_limit(double value, double limit, int decimals) {
  constexpr int kMostDecimals = 12;
  std::string text = fmt::format("{:.{}f}", value, decimals);
  const auto differs = [&] {
    const double shown = std::strtod(text.c_str(), nullptr);
    return value == limit || (value < limit ? shown < limit : shown > limit);
  };
  while (!differs() && decimals < kMostDecimals) text = fmt::format("{:.{}f}", value, ++decimals);
  return text;
}

}  // namespace secondsource
