#pragma once
// Converts a price per hour to a price per thousand tokens. Pure arithmetic; docs/metrics.md has a worked example.

#include <cstdint>
#include <optional>
#include <string>

#include "core/fields.h"

namespace secondsource {

/// The highest number that is taken for a price of an hour.
inline constexpr double kMostUsdPerHour = 1e6;

/// The price per hour of an instance with `n_units` devices (accelerators; vCPUs for a CPU), of which a run uses some.
/// A price per device is a price of an instance with one unit.
struct Price {
  double usd_per_hour = 0;
  double n_units = 1;
  double n_units_used = 1;
  std::string source{};  ///< "--price", or the row of the price book and where it was read
  std::string date{};    ///< the day on which the price was valid or was read

  /// The price of the devices in use: (price of the instance) x (share of its devices used).
  [[nodiscard]] double usd_per_hour_used() const { return usd_per_hour * n_units_used / n_units; }
};
SS_FIELDS(Price, usd_per_hour, n_units, n_units_used, source, date)

/// USD per 1000 tokens: (USD per hour of the devices in use) / (tokens/s x 3600) x 1000; nullopt for a rate that is not
/// positive.
[[nodiscard]] std::optional<double> usd_per_1k_tokens(const Price& price, double tokens_per_s);

/// Device-hours per million tokens at this rate on `n_devices`; nullopt for a rate that is not positive.
[[nodiscard]] std::optional<double> device_hours_per_million_tokens(double n_devices, double tokens_per_s);

}  // namespace secondsource
