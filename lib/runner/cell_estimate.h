#pragma once
// Estimates how long a cell will take before anything was measured, for --dry-run. The estimate follows from the
// model's size and from rates that are assumed, not measured; it is right within a factor of a few.

#include <cstdint>
#include <string>
#include <string_view>

#include "bundle/model_config.h"
#include "record/records.h"

namespace secondsource {

/// A rough estimate of one planned cell's time.
struct CellEstimate {
  std::string cell;  ///< CellKey::id()
  double seconds = 0;
};

struct ModelSize {
  std::int64_t n_parameters = 0;  ///< parameters that take part in computing one token
};
[[nodiscard]] ModelSize model_size(const ModelConfig& config);

/// Bytes stored per matmul weight, quantization scales included.
[[nodiscard]] double bytes_per_weight(std::string_view variant);

/// Time of all repetitions of the cell with their warm-up, in seconds. `n_units` is the number of CPUs; `is_slow`
/// selects the rate of the oracle's plain loops.
[[nodiscard]] double estimate_seconds(const PlannedCell& cell, const ModelSize& size, std::string_view variant,
                                      double n_units, bool is_slow, double cell_budget_s);

/// Time of a cell of server:slo-max: the search, the hold and the repetitions, each of which lasts `probe_s`.
[[nodiscard]] double capacity_seconds(std::int32_t repetitions, double probe_s = 10);

}  // namespace secondsource
