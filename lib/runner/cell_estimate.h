#pragma once
// How long a cell will take, before anything was measured: for --dry-run. From the model's size and rates that are
// stated here, not measured; right within a factor of a few.

#include <cstdint>
#include <string_view>

#include "bundle/model_config.h"
#include "report/records.h"

namespace secondsource {

struct ModelSize {
  std::int64_t n_parameters = 0;  ///< that one token goes through
};
[[nodiscard]] ModelSize model_size(const ModelConfig& config);

/// Of a matmul weight, scales included.
[[nodiscard]] double bytes_per_weight(std::string_view variant);

/// All repetitions with their warm-up. `n_units`: CPUs; `is_slow`: the oracle's plain loops.
[[nodiscard]] double estimate_seconds(const PlannedCell& cell, const ModelSize& size, std::string_view variant,
                                      double n_units, bool is_slow, double cell_budget_s);

}  // namespace secondsource
