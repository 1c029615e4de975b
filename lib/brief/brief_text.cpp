#include "brief/brief_text.h"

#include <fmt/format.h>

#include <cmath>

namespace secondsource {
namespace {

/// Formats a number with three significant digits and without an exponent.
std::string three_digits(double number) {
  if (number == 0) return "0";
  const int magnitude = static_cast<int>(std::floor(std::log10(std::abs(number)) + 1e-12));
  const int decimals = std::max(0, 2 - magnitude);
  constexpr int kMostDecimals = 12;
  const double step = std::pow(10.0, magnitude - 2);
  return fmt::format("{:.{}f}", std::round(number / step) * step, std::min(decimals, kMostDecimals));
}

/// The text of a number that rounds to zero, without the sign that its rounding has left.
std::string without_negative_zero(std::string text) {
  const bool is_zero = text.find_first_of("123456789") == std::string::npos;
  if (is_zero && text.starts_with("-")) text.erase(0, 1);
  return text;
}

/// "1234567" -> "1,234,567"
std::string with_thousands(std::string text) {
  const std::size_t begin = text.starts_with("-") ? 1 : 0;
  const std::size_t point = std::min(text.find('.'), text.size());
  for (std::size_t at = point; at > begin + 3;) {
    at -= 3;
    text.insert(at, ",");
  }
  return text;
}

std::string in_unit(double value, const std::string& unit) {
  if (unit == "USD" || unit == "USD/h" || unit == "USD/1K")
    return format_usd(value) + (unit == "USD/h" ? " an hour" : "");
  if (unit == "%") return format_percent(value);
  return unit.empty() ? format_number(value) : format_number(value) + " " + unit;
}

}  // namespace

std::string decision_headline(const BriefDecision& decision) {
  return (decision.status == DecisionStatus::kProvisional ? "Provisional: " : "") + decision.line;
}

std::string format_usd(double usd) {
  const std::string sign = usd < 0 ? "-" : "";
  const double amount = std::abs(usd);
  constexpr double kMillion = 1e6;
  constexpr double kBillion = 1e9;
  if (amount >= kBillion) return fmt::format("{}${} billion", sign, three_digits(amount / kBillion));
  if (amount >= kMillion) return fmt::format("{}${} million", sign, three_digits(amount / kMillion));
  if (amount >= 1 && amount < 100) return fmt::format("{}${:.2f}", sign, amount);
  return without_negative_zero(sign + "$" + with_thousands(three_digits(amount)));
}

std::string format_percent(double percent) {
  const double size = std::abs(percent);
  return without_negative_zero(fmt::format("{:.{}f} %", percent, size >= 10 || size < 0.005 ? 0 : size >= 1 ? 1 : 2));
}

std::string format_number(double number) {
  if (number == std::round(number) && std::abs(number) < 1000)
    return without_negative_zero(fmt::format("{:.0f}", number));
  return without_negative_zero(with_thousands(three_digits(number)));
}

std::string format_value(const Figure& figure) {
  return figure.value ? in_unit(*figure.value, figure.unit) : "-";
}

std::string format_interval(const Figure& figure) {
  if (!figure.low || !figure.high) return "";
  // A unit behind the value is not repeated: "9,930 tok/s (9,700 to 10,000)".
  const bool is_money_or_share = figure.unit.starts_with("USD") || figure.unit == "%";
  const std::string unit = is_money_or_share ? figure.unit : "";
  return fmt::format("{} to {}", in_unit(*figure.low, unit), in_unit(*figure.high, unit));
}

std::string format_figure(const Figure& figure) {
  if (!figure.value) return "not available: " + figure.why_not;
  const std::string interval = format_interval(figure);
  return format_value(figure) + (interval.empty() ? "" : " (" + interval + ")");
}

}  // namespace secondsource
