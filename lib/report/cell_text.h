#pragma once
// Formats the figures of a cell for tables. An unknown figure is kUnknown; a figure with an interval shows the distance
// to its bounds.

#include <optional>
#include <string>

#include "record/records.h"

namespace secondsource {

inline constexpr const char* kUnknown = "-";

/// Returns "17.5 ±3%" or "0.0417 ±<1%": nanoseconds as milliseconds, with the distance to the farther bound.
[[nodiscard]] std::string milliseconds_text(const Estimate& estimate);
/// Returns "3.40 us ±3%": a duration in ns in the unit that suits it.
[[nodiscard]] std::string duration_text(const Estimate& estimate);
/// Returns "202 ±1%" or "0.0490": three significant digits, so that a slow rate is not shown as none.
[[nodiscard]] std::string rate_text(const Estimate& estimate);
/// Returns the output rate of a cell: "202 ±1%", or "202 ±1% offered" where it is the load that was sent.
[[nodiscard]] std::string output_rate_text(const CellSummary& cell);
/// True if the cell's output rate is a capacity of the system, and not a load that was offered to it.
[[nodiscard]] bool has_capacity(const CellSummary& cell);
/// Returns "0.00125" or "0.00000215": three significant digits, without an exponent.
[[nodiscard]] std::string dollars_text(const std::optional<double>& usd);
/// The cost of a million tokens, given that of a thousand.
[[nodiscard]] std::string dollars_per_million_text(const std::optional<double>& usd_per_1k);
/// Returns "83 %"; "<1 %" for a share above 0 that would be rounded to 0.
[[nodiscard]] std::string percent_text(const std::optional<double>& share);
/// Returns the tokens' verdict with what limits its use: "passed, outside its limits", "WRONG TOKENS".
[[nodiscard]] std::string tokens_text(const CellSummary& cell);
/// Returns "31.0 W", "54 %", "2.10 GHz": the value of a sensor in the unit that its name ends with.
[[nodiscard]] std::string reading_text(const TelemetryReading& reading);
/// Returns "82 % read" or "64 % compute".
[[nodiscard]] std::string limit_text(const std::optional<LimitShare>& of_limit);

}  // namespace secondsource
