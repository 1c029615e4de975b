#pragma once
// CPU time as /proc/stat counts it.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "measure/host_files.h"

namespace secondsource {

/// Of one CPU since the machine started, in ticks of 1 / sysconf(_SC_CLK_TCK) seconds.
struct CpuTicks {
  std::int64_t total = 0;
  std::int64_t busy = 0;  ///< all but idle and iowait; steal included
  std::int64_t steal = 0;
  CpuTicks& operator+=(const CpuTicks& other);
};

/// By the number of the CPU; one that is offline has zeros. Errors: kUnavailable.
[[nodiscard]] Result<std::vector<CpuTicks>> read_cpu_ticks(const HostFiles& files);

/// The sum over these CPUs; over all when the list is empty.
[[nodiscard]] CpuTicks sum_of(std::span<const CpuTicks> all, std::span<const std::int32_t> cpus);

[[nodiscard]] double ticks_to_s(std::int64_t ticks);

}  // namespace secondsource
