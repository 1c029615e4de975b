#pragma once
// Converts a price per hour to a price per thousand tokens. Pure arithmetic; docs/metrics.md has a worked example.

#include <cstdint>
#include <optional>
#include <string>

#include "core/enum_names.h"
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

/// What a price is divided by. kUnit stands for devices or vCPUs of runs that do not say which.
enum class PriceUnit : std::uint8_t { kInstance, kDevice, kCpu, kUnit };
SS_ENUM_NAMES(PriceUnit, "instance", "device", "vCPU", "unit")

/// What one backend of a run is charged: `n_used` times the price, divided by `n_of`, in units of which the price buys
/// `n_of`.
struct PriceShare {
  double n_used = 1;
  double n_of = 1;
  PriceUnit unit = PriceUnit::kInstance;
};
SS_FIELDS(PriceShare, n_used, n_of, unit)

/// A price, and what an hour of it buys.
struct PricedInstance {
  Price price{};
  bool is_per_device = false;  ///< the price is that of one device; the numbers below are then 0
  double n_devices = 0;        ///< accelerators of the instance; 0: it has none, or their number is not known
  double n_cpus = 0;           ///< its vCPUs; 0: not known
};

/// What one backend uses of the instance.
struct UsedUnits {
  double n = 1;            ///< vCPUs of a backend on the host, devices of any other
  bool is_host = false;    ///< the backend computes on the CPUs of the host
  bool is_system = false;  ///< a server or an adapter, whose number of units people state
  bool is_stated = true;   ///< false: nobody stated how many devices the system uses
  double n_host_cpus = 1;  ///< CPUs of the host, by which an instance is divided whose vCPUs are not known
};

/// What a backend that uses `used` is charged (docs/cost.md, "What a run is charged").
[[nodiscard]] PriceShare charged_share(const PricedInstance& priced, const UsedUnits& used);

/// USD per 1000 tokens: (USD per hour of the devices in use) / (tokens/s x 3600) x 1000; nullopt for a rate that is not
/// positive.
[[nodiscard]] std::optional<double> usd_per_1k_tokens(const Price& price, double tokens_per_s);

/// Device-hours per million tokens at this rate on `n_devices`; nullopt for a rate that is not positive.
[[nodiscard]] std::optional<double> device_hours_per_million_tokens(double n_devices, double tokens_per_s);

}  // namespace secondsource
