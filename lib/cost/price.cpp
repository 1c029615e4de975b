#include "cost/price.h"

namespace secondsource {

PriceShare charged_share(const PricedInstance& priced, const UsedUnits& used) {
  // A host counts as one device, as it does for tokens/s per device.
  if (priced.is_per_device) return {.n_used = used.is_host ? 1 : used.n, .n_of = 1, .unit = PriceUnit::kDevice};
  if (used.is_host)
    return {.n_used = used.n, .n_of = priced.n_cpus > 0 ? priced.n_cpus : used.n_host_cpus, .unit = PriceUnit::kCpu};
  if (!used.is_stated) return {};
  if (priced.n_devices > 0) return {.n_used = used.n, .n_of = priced.n_devices, .unit = PriceUnit::kDevice};
  // The devices that are stated for a system on a machine without accelerators are its vCPUs.
  if (priced.n_cpus > 0 && used.is_system) return {.n_used = used.n, .n_of = priced.n_cpus, .unit = PriceUnit::kCpu};
  return {};
}

std::optional<double> usd_per_1k_tokens(const Price& price, double tokens_per_s) {
  if (!(tokens_per_s > 0)) return std::nullopt;
  return price.usd_per_hour_used() / (tokens_per_s * 3600.0) * 1000.0;
}

std::optional<double> device_hours_per_million_tokens(double n_devices, double tokens_per_s) {
  if (!(tokens_per_s > 0)) return std::nullopt;
  return n_devices * 1e6 / (tokens_per_s * 3600.0);
}

}  // namespace secondsource
