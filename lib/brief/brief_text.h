#pragma once
// Formats the numbers of the brief for display.

#include <string>

#include "brief/brief.h"
#include "brief/figure.h"

namespace secondsource {

/// The decision as a headline for the page and for stdout. A provisional decision begins with "Provisional: ".
[[nodiscard]] std::string decision_headline(const BriefDecision& decision);

/// Returns "$1.24 million", "$12,300", "$6.88" or "$0.000212": three significant digits, without an exponent above a
/// billionth.
[[nodiscard]] std::string format_usd(double usd);

/// Returns "12 %", "3.4 %" or "0.25 %".
[[nodiscard]] std::string format_percent(double percent);

/// Returns "30,600", "355", "2.50" or "2": three significant digits, with thousands separators.
[[nodiscard]] std::string format_number(double number);

/// The value in its unit, followed by its interval if it has one ("$1.24 million ($1.20 million to $1.30 million)"), or
/// "not available: REASON".
[[nodiscard]] std::string format_figure(const Figure& figure);
/// The value without its interval, for narrow columns; "-" when there is no value.
[[nodiscard]] std::string format_value(const Figure& figure);
/// The interval alone; "" when there is none.
[[nodiscard]] std::string format_interval(const Figure& figure);

}  // namespace secondsource
