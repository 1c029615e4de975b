#pragma once
// The limits of the machine, as a run records them.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/fields.h"

namespace secondsource {

/// The best read rate from a buffer of this size, with all threads together.
struct ReadLimit {
  std::int64_t buffer_bytes = 0;
  double bytes_per_s = 0;
};
SS_FIELDS(ReadLimit, buffer_bytes, bytes_per_s)

/// The limits of the machine, measured when the run began and again whenever a speed seemed to exceed them; the highest
/// values count (host/machine_limits.h).
struct RunLimits {
  std::int32_t n_threads = 0;
  std::string instruction_set;
  std::vector<ReadLimit> reads;  ///< sorted by ascending size
  double f32_flops = 0;          ///< operations/s; a multiply and an add count as two
  std::optional<double> bf16_flops;
  std::optional<double> int8_ops;
  double disturbed = 0;  ///< share of the time that other processes had the CPUs while it was measured
  /// Matrix units that the loops do not use ("AMX"); the limit on operations/s is then unknown.
  std::string unmeasured;
};
SS_FIELDS(RunLimits, n_threads, instruction_set, reads, f32_flops, bf16_flops, int8_ops, disturbed, unmeasured)

}  // namespace secondsource
