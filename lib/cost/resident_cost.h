#pragma once
// What it costs to keep a model in the memory of a device. docs/scenarios.md has a worked example.

#include <cstdint>
#include <optional>

namespace secondsource {

/// USD for one hour in which the model is resident: the price of an hour of the devices in use, by the model's share of the
/// memory that models may take. nullopt for a budget that is not positive.
[[nodiscard]] std::optional<double> usd_per_resident_hour(double usd_per_hour_used, std::int64_t model_bytes,
                                                          std::int64_t memory_budget_bytes);

}  // namespace secondsource
