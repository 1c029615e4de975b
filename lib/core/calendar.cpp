#include "core/calendar.h"

#include <fmt/format.h>

#include <chrono>

#include "core/check.h"

namespace secondsource {
namespace {

// The days 0000-01-01 and 9999-12-31 as numbers of days since 1970. Only between them has a year four digits.
constexpr std::int64_t kFirstDay = -719'528;
constexpr std::int64_t kLastDay = 2'932'896;

/// The number formed by these `count` digits; -1 if one of them is not a digit or the text is too short.
int digits(std::string_view text, std::size_t from, std::size_t count) {
  if (text.size() < from + count) return -1;
  int value = 0;
  for (const char c : text.substr(from, count)) {
    if (c < '0' || c > '9') return -1;
    value = 10 * value + (c - '0');
  }
  return value;
}

}  // namespace

std::optional<std::int64_t> days_since_1970(std::string_view date) {
  if (date.size() != 10 || date[4] != '-' || date[7] != '-') return std::nullopt;
  const int year = digits(date, 0, 4);
  const int month = digits(date, 5, 2);
  const int day = digits(date, 8, 2);
  if (year < 0 || month < 0 || day < 0) return std::nullopt;
  const std::chrono::year_month_day parsed{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
  if (!parsed.ok()) return std::nullopt;
  return std::chrono::sys_days(parsed).time_since_epoch().count();
}

std::optional<std::int64_t> seconds_since_1970(std::string_view utc) {
  if (utc.size() != 20 || utc[10] != 'T' || utc[13] != ':' || utc[16] != ':' || utc[19] != 'Z') return std::nullopt;
  const std::optional<std::int64_t> days = days_since_1970(utc.substr(0, 10));
  const int hour = digits(utc, 11, 2);
  const int minute = digits(utc, 14, 2);
  const int second = digits(utc, 17, 2);
  const bool is_time = hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60;
  if (!days || !is_time) return std::nullopt;
  return *days * 86'400 + hour * 3'600 + minute * 60 + second;
}

std::string add_days(std::string_view date, std::int64_t n_days) {
  const std::optional<std::int64_t> start = days_since_1970(date);
  SS_CHECK(start.has_value(), "no date");
  SS_CHECK(n_days >= kFirstDay - *start && n_days <= kLastDay - *start, "the day is not one of the years 0 to 9999");
  const std::chrono::year_month_day day{std::chrono::sys_days(std::chrono::days(*start + n_days))};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()));
}

bool is_day_month_quarter_or_year(std::string_view text) {
  if (digits(text, 0, 4) < 0) return false;
  if (text.size() == 4) return true;
  if (text.size() == 7 && text[4] == '-' && text[5] == 'Q') return text[6] >= '1' && text[6] <= '4';
  if (text.size() == 7) return days_since_1970(std::string(text) + "-01").has_value();
  return days_since_1970(text).has_value();
}

std::string first_day_of(std::string_view text) {
  std::string day(text);
  if (day.size() == 7 && day[5] == 'Q') day = fmt::format("{}-{:02}", day.substr(0, 4), 3 * (day[6] - '1') + 1);
  for (const std::size_t size : {std::size_t{4}, std::size_t{7}}) {
    if (day.size() == size) day += "-01";
  }
  return day;
}

}  // namespace secondsource
