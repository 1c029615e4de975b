#pragma once
// The counters of the host that tell whether a measurement was disturbed (checks.h), read before and after it. Each is
// a value, or the reason why it cannot be read here.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "measure/host_files.h"
#include "measure/proc_stat.h"

namespace secondsource {

struct HostState {
  /// CPU time of the worker's CPUs, from /proc/stat.
  Result<CpuTicks> cpu;
  /// How long threads of this process were ready to run while something else had the CPU, and how long they ran:
  /// /proc/self/task/*/schedstat.
  struct Scheduling {
    double waited_s = 0;
    double ran_s = 0;
  };
  Result<Scheduling> scheduling;
  Result<std::int64_t> major_faults;     ///< of this process: /proc/self/stat
  Result<std::int64_t> swapped_pages;    ///< of the host, in and out: /proc/vmstat
  Result<std::int64_t> swapped_bytes;    ///< of this process, that are in swap now: VmSwap
  Result<std::int64_t> throttle_events;  ///< of the worker's cores and their package, by heat or power (Intel)
  Result<double> quota_waited_s;         ///< the control group's CPU quota was used up: cpu.stat
  /// Governor, frequency limits, boost, external power: name and value. Empty with the reason where there are none.
  Result<std::vector<std::pair<std::string, std::string>>> clock_settings;
};

/// `cpus`: those that this process may use.
[[nodiscard]] HostState read_host_state(const HostFiles& files, const std::vector<std::int32_t>& cpus);

/// From the kernel's scheduler: what --cpus or a control group leaves to this process.
[[nodiscard]] std::vector<std::int32_t> usable_cpus();

}  // namespace secondsource
