#pragma once
// The highest rates of reading and computing that a host, or a device with its own memory, reaches: runs record them, and
// kernel_bench compares kernels with them. host/machine_limits.h measures the host, backend/device_rates.h any other device.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/fields.h"

namespace secondsource {

/// The highest rate at which all threads together read a buffer of this size again and again.
struct ReadLimit {
  std::int64_t buffer_bytes = 0;
  double bytes_per_s = 0;
};
SS_FIELDS(ReadLimit, buffer_bytes, bytes_per_s)

/// The highest rates of all threads together that any measurement of this machine gave. A run measures when it begins,
/// and again whenever a speed seems to exceed a limit, and reads what earlier runs measured on this host.
struct MachineLimits {
  std::int32_t n_threads = 0;  ///< of a device: its multiprocessors, or compute units
  std::string
      instruction_set;  ///< of the measuring loops: "avx512", "avx2", "portable"; of a device: "sm_90", "gfx942"
  std::vector<ReadLimit> reads;  ///< by ascending size
  double f32_flops = 0;          ///< operations/s; a multiply-add counts as two
  std::optional<double> bf16_flops;
  std::optional<double> int8_ops;
  /// Codes of four bits by int8, where the CPU multiplies these faster than int8 by int8; runs before 2026-12-01 do not have it.
  std::optional<double> int4_ops;
  double disturbed = 0;    ///< share of the measuring time in which other processes had the CPUs
  std::string unmeasured;  ///< matrix units that the loops do not use ("AMX"): no limit on operations/s is known then
};
SS_FIELDS(MachineLimits, n_threads, instruction_set, reads, f32_flops, bf16_flops, int8_ops, int4_ops, disturbed,
          unmeasured)
SS_ADDED_FIELDS(MachineLimits, int4_ops)

/// The result of several looks at the limits of one machine. A look is one measurement of some or all limits, by any
/// process. Other load makes a look too low, so the best look is the limit, and the second best shows how certain it
/// is.
struct LimitLooks {
  MachineLimits best;    ///< each limit as the best look gave it
  MachineLimits second;  ///< each limit as the next best look gave it; 0 where there was no second look
};
SS_FIELDS(LimitLooks, best, second)

}  // namespace secondsource
