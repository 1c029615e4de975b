#pragma once
// Numbers of the brief for people.

#include <string>

#include "brief/figure.h"

namespace secondsource {

/// "$1.24 million", "$12,300", "$6.88", "$0.000212": three significant digits, never an exponent above a billionth.
[[nodiscard]] std::string format_usd(double usd);

/// "12 %", "3.4 %", "0.25 %"
[[nodiscard]] std::string format_percent(double percent);

/// "30,600", "355", "2.50", "2": three significant digits, thousands apart.
[[nodiscard]] std::string format_number(double number);

/// The value in its unit, with its interval behind it where it has one ("$1.24 million ($1.20 million to $1.30
/// million)"), or "not available: why".
[[nodiscard]] std::string format_figure(const Figure& figure);
/// Without the interval, "-" where there is no value: for narrow columns.
[[nodiscard]] std::string format_value(const Figure& figure);
/// The interval alone, "" where there is none.
[[nodiscard]] std::string format_interval(const Figure& figure);

}  // namespace secondsource
