#pragma once
// Figures of a cell as tables show them. What is not known is kUnknown, and what has an interval shows how far it goes.

#include <optional>
#include <string>

#include "report/records.h"

namespace secondsource {

inline constexpr const char* kUnknown = "-";

/// "17.5 ±3%": nanoseconds as milliseconds, with the distance to the further bound.
[[nodiscard]] std::string milliseconds_text(const Estimate& estimate);
/// "202 ±1%"
[[nodiscard]] std::string rate_text(const Estimate& estimate);
/// "0.0012", "2.15e-06"
[[nodiscard]] std::string dollars_text(const std::optional<double>& usd);
/// "83 %"
[[nodiscard]] std::string percent_text(const std::optional<double>& share);
/// "82 % read", "64 % compute"
[[nodiscard]] std::string limit_text(const std::optional<LimitShare>& of_limit);

}  // namespace secondsource
