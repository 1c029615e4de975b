#include "report/cell_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/enum_format.h"
#include "core/units.h"

namespace secondsource {
namespace {

/// Three significant digits without an exponent, and no fewer than `least_decimals` digits behind the point; "0" for zero.
std::string three_digits(double value, int least_decimals = 0) {
  constexpr int kMostDecimals = 12;
  if (value == 0) return "0";
  const int magnitude = static_cast<int>(std::floor(std::log10(std::abs(value))));
  return fmt::format("{:.{}f}", value, std::clamp(2 - magnitude, least_decimals, kMostDecimals));
}

/// Returns " ±3%"; empty without an interval.
std::string spread_text(const Estimate& estimate) {
  if (!estimate.low || !estimate.high || !(*estimate.value > 0)) return "";
  const double distance = std::max(*estimate.high - *estimate.value, *estimate.value - *estimate.low) / *estimate.value;
  if (distance > 1) return " ±>100%";
  return distance > 0 && distance < 0.005 ? " ±<1%" : fmt::format(" ±{:.0f}%", 100 * distance);
}

}  // namespace

std::string milliseconds_text(const Estimate& estimate) {
  if (!estimate.value) return kUnknown;
  return three_digits(*estimate.value / 1e6, 1) + spread_text(estimate);
}

std::string duration_text(const Estimate& estimate) {
  if (!estimate.value) return kUnknown;
  return format_duration_ns(std::llround(std::clamp(*estimate.value, 0.0, 1e18))) + spread_text(estimate);
}

std::string rate_text(const Estimate& estimate) {
  if (!estimate.value) return kUnknown;
  return three_digits(*estimate.value) + spread_text(estimate);
}

bool has_capacity(const CellSummary& cell) {
  return basis_of(cell.scenario) != ThroughputBasis::kOfferedLoad;
}

std::string output_rate_text(const CellSummary& cell) {
  std::string text = rate_text(cell.output_tok_per_s);
  if (cell.output_tok_per_s.value && !has_capacity(cell)) text += " offered";
  return text;
}

std::string dollars_text(const std::optional<double>& usd) {
  return usd ? three_digits(*usd) : kUnknown;
}

std::string dollars_per_million_text(const std::optional<double>& usd_per_1k) {
  return dollars_text(usd_per_1k ? std::optional(1000 * *usd_per_1k) : std::nullopt);
}

std::string percent_text(const std::optional<double>& share) {
  if (!share) return kUnknown;
  std::string digits = fmt::format("{:.0f}", 100 * *share);
  if (digits == "0" && *share > 0) digits = "<1";  // 0 % is none at all
  return digits + " %";
}

std::string tokens_text(const CellSummary& cell) {
  std::string text = cell.golden == GoldenVerdict::kFailed ? "WRONG TOKENS" : std::string(to_string(cell.golden));
  if (cell.golden_level) text += fmt::format(" ({})", *cell.golden_level);
  if (!cell.outside_limits.empty()) text += ", outside its limits";
  return text;
}

std::string reading_text(const TelemetryReading& reading) {
  if (!reading.value) return kUnknown;
  constexpr double kMostBytes = 1e18;  // more is no memory, and may not fit an integer
  std::string_view name = reading.name;
  if (name.ends_with("_max")) name.remove_suffix(std::string_view("_max").size());
  const double value = *reading.value;
  if (name.ends_with("_w")) return fmt::format("{:.1f} W", value);
  if (name.ends_with("_hz")) return fmt::format("{:.2f} GHz", value / 1e9);
  if (name.ends_with("_bytes") && std::abs(value) < kMostBytes) return format_bytes(static_cast<std::int64_t>(value));
  if (name.ends_with("_c")) return fmt::format("{:.0f} °C", value);
  if (name.ends_with("_j")) return fmt::format("{:.4g} J", value);
  const bool is_share = name.ends_with("utilisation") || name.ends_with("_share") || name.ends_with("busy") ||
                        name.starts_with("device_throttled");
  if (is_share) return percent_text(value);
  return fmt::format("{:.4g}", value);
}

std::string limit_text(const std::optional<LimitShare>& of_limit) {
  return of_limit ? fmt::format("{} {}", percent_text(of_limit->share), of_limit->limit) : kUnknown;
}

}  // namespace secondsource
