#include "cost/price.h"

namespace secondsource {

std::optional<double> usd_per_1k_tokens(const Price& price, double tokens_per_s) {
  if (!(tokens_per_s > 0)) return std::nullopt;
  return price.usd_per_hour_used() / (tokens_per_s * 3600.0) * 1000.0;
}

std::optional<double> device_hours_per_million_tokens(double n_devices, double tokens_per_s) {
  if (!(tokens_per_s > 0)) return std::nullopt;
  return n_devices * 1e6 / (tokens_per_s * 3600.0);
}

}  // namespace secondsource
