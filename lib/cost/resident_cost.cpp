#include "cost/resident_cost.h"

namespace secondsource {

std::optional<double> usd_per_resident_hour(double usd_per_hour_used, std::int64_t model_bytes,
                                            std::int64_t memory_budget_bytes) {
  if (memory_budget_bytes <= 0) return std::nullopt;
  return usd_per_hour_used * static_cast<double>(model_bytes) / static_cast<double>(memory_budget_bytes);
}

}  // namespace secondsource
