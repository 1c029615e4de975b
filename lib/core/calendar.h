#pragma once
// Calendar days as texts, "2026-11-20": how files name them, and how they sort.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace secondsource {

/// Days since 1970-01-01; nullopt for what is no day of the Gregorian calendar in the form YYYY-MM-DD.
[[nodiscard]] std::optional<std::int64_t> days_since_1970(std::string_view date);

/// The day `n_days` after `date`, which must be one.
[[nodiscard]] std::string add_days(std::string_view date, std::int64_t n_days);

/// Is it a day (YYYY-MM-DD), a month (YYYY-MM), a quarter (YYYY-Qn) or a year (YYYY)? What sources give as their date.
[[nodiscard]] bool is_day_month_quarter_or_year(std::string_view text);

}  // namespace secondsource
