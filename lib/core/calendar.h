#pragma once
// Calendar days as text, "2026-11-20": the form used in files. Sorting the texts sorts the days.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace secondsource {

/// Days since 1970-01-01; nullopt if `date` is not a day of the Gregorian calendar in the form YYYY-MM-DD.
[[nodiscard]] std::optional<std::int64_t> days_since_1970(std::string_view date);

/// Seconds since 1970 of a time of day in UTC, "2026-11-20T07:43:00Z", as utc_timestamp() writes it; nullopt for any other
/// text.
[[nodiscard]] std::optional<std::int64_t> seconds_since_1970(std::string_view utc);

/// The day `n_days` after `date`. Both must be valid days of the years 0 to 9999.
[[nodiscard]] std::string add_days(std::string_view date, std::int64_t n_days);

/// True for a day (YYYY-MM-DD), a month (YYYY-MM), a quarter (YYYY-Qn) or a year (YYYY): the forms in which sources
/// give their date.
[[nodiscard]] bool is_day_month_quarter_or_year(std::string_view text);

/// The first day (YYYY-MM-DD) of such a day, month, quarter or year.
[[nodiscard]] std::string first_day_of(std::string_view text);

}  // namespace secondsource
