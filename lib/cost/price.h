#pragma once
// From a price per hour to a price per thousand tokens. Pure arithmetic; docs/metrics.md has a worked example.

#include <cstdint>
#include <optional>
#include <string>

namespace secondsource {

/// What an hour costs and of what: an instance with `n_units` devices (accelerators; vCPUs for a CPU), of which a run
/// uses some. A price per device is an instance of one unit.
struct Price {
  double usd_per_hour = 0;
  double n_units = 1;
  double n_units_used = 1;
  std::string source{};  ///< "--price", or the price book's row with where it was read
  std::string date{};    ///< when the price was valid or read

  /// (price of the instance) x (share of its devices used)
  [[nodiscard]] double usd_per_hour_used() const { return usd_per_hour * n_units_used / n_units; }
};

/// ($/hour of what is used) / (tokens/s x 3600) x 1000; nullopt for a rate that is not positive.
[[nodiscard]] std::optional<double> usd_per_1k_tokens(const Price& price, double tokens_per_s);

/// Device-hours for a million tokens at this rate over `n_devices`; nullopt for a rate that is not positive.
[[nodiscard]] std::optional<double> device_hours_per_million_tokens(double n_devices, double tokens_per_s);

}  // namespace secondsource
