#pragma once
// Counters of the host that show whether a measurement was disturbed (measure/host_checks.h), read before and after it.
// Each one is a value, or the reason why it cannot be read.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "host/host_files.h"
#include "host/proc_stat.h"

namespace secondsource {

struct HostState {
  /// CPU time on the worker's CPUs, from /proc/stat.
  Result<CpuTicks> cpu;
  /// How long the threads of this process waited for a CPU although they were ready to run, and how long they ran, from
  /// /proc/self/task/*/schedstat.
  struct Scheduling {
    double waited_s = 0;
    double ran_s = 0;
    std::map<std::string, double> waited_s_of_thread{};  ///< by the thread's id
  };
  Result<Scheduling> scheduling;
  Result<std::int64_t> major_faults;     ///< of this process, from /proc/self/stat
  Result<std::int64_t> swapped_pages;    ///< of the host, in and out, from /proc/vmstat
  Result<std::int64_t> swapped_bytes;    ///< bytes of this process that are in swap now: VmSwap
  Result<std::int64_t> throttle_events;  ///< of the worker's cores and their package, because of heat or power (Intel)
  Result<double> quota_waited_s;         ///< time for which the control group's CPU quota was used up, from cpu.stat
  /// Names and values of governor, frequency limits, boost and external power. Empty with the reason if there are none.
  Result<std::vector<std::pair<std::string, std::string>>> clock_settings;
};

/// Reads all counters. `cpus` are the CPUs that this process may use.
[[nodiscard]] HostState read_host_state(const HostFiles& files, const std::vector<std::int32_t>& cpus);

/// The CPUs that --cpus or a control group leaves to this process, as the kernel's scheduler reports them.
[[nodiscard]] std::vector<std::int32_t> usable_cpus();

}  // namespace secondsource
