#include "report/cell_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/enum_format.h"

namespace secondsource {
namespace {

/// Returns " ±3%"; empty without an interval.
std::string spread_text(const Estimate& estimate) {
  if (!estimate.low || !estimate.high || !(*estimate.value > 0)) return "";
  const double distance = std::max(*estimate.high - *estimate.value, *estimate.value - *estimate.low);
  return fmt::format(" ±{:.0f}%", 100 * distance / *estimate.value);
}

}  // namespace

std::string milliseconds_text(const Estimate& estimate) {
  if (!estimate.value) return kUnknown;
  const double ms = *estimate.value / 1e6;
  return fmt::format("{:.{}f}", ms, ms < 10 ? 2 : 1) + spread_text(estimate);
}

std::string rate_text(const Estimate& estimate) {
  if (!estimate.value) return kUnknown;
  return fmt::format("{:.{}f}", *estimate.value, *estimate.value < 100 ? 1 : 0) + spread_text(estimate);
}

std::string dollars_text(const std::optional<double>& usd) {
  if (!usd) return kUnknown;
  return *usd < 0.001 ? fmt::format("{:.2e}", *usd) : fmt::format("{:.4f}", *usd);
}

std::string percent_text(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f} %", 100 * *share) : kUnknown;
}

std::string limit_text(const std::optional<LimitShare>& of_limit) {
  return of_limit ? fmt::format("{} {}", percent_text(of_limit->share), of_limit->limit) : kUnknown;
}

}  // namespace secondsource
