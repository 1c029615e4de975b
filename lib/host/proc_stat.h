#pragma once
// Reads CPU time from /proc/stat.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "host/host_files.h"

namespace secondsource {

/// CPU time of one CPU since the machine started, in ticks of 1 / sysconf(_SC_CLK_TCK) seconds.
struct CpuTicks {
  std::int64_t total = 0;
  std::int64_t busy = 0;  ///< all time except idle and iowait; includes steal
  std::int64_t steal = 0;
  CpuTicks& operator+=(const CpuTicks& other);
};

/// Returns the ticks of all CPUs, indexed by CPU number; an offline CPU has zeros. Errors: kUnavailable.
[[nodiscard]] Result<std::vector<CpuTicks>> read_cpu_ticks(const HostFiles& files);

/// The sum over these CPUs, or over all CPUs if the list is empty.
[[nodiscard]] CpuTicks sum_of(std::span<const CpuTicks> all, std::span<const std::int32_t> cpus);

[[nodiscard]] double ticks_to_s(std::int64_t ticks);

}  // namespace secondsource
