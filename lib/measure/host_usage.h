#pragma once
// What this process and the whole host used of the machine between two moments: CPU time, faults, switches, memory.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "measure/host_files.h"

namespace secondsource {

/// Counters of this process and of the host since their start.
struct HostUsage {
  double process_cpu_s = 0;
  std::int64_t involuntary_switches = 0;
  std::int64_t voluntary_switches = 0;
  std::int64_t minor_faults = 0;
  std::int64_t major_faults = 0;
  /// Over all CPUs, from /proc/stat; nullopt where it cannot be read.
  std::optional<double> host_busy_s;  ///< all but idle and iowait, steal included
  std::optional<double> host_total_s;
};

[[nodiscard]] HostUsage read_host_usage(const HostFiles& files);

/// The share of all CPU time between the two that others took (other processes, and the hypervisor's steal), in [0, 1].
[[nodiscard]] std::optional<double> others_cpu_share(const HostUsage& before, const HostUsage& after);

/// Highest resident set so far, in bytes: VmHWM of /proc/self/status. Errors: kUnavailable.
[[nodiscard]] Result<std::int64_t> peak_rss_bytes(const HostFiles& files);

/// Resident set now. Errors: kUnavailable.
[[nodiscard]] Result<std::int64_t> rss_bytes(const HostFiles& files);

/// Sets the highest resident set back to the present one, so that a repetition has a peak of its own. False where the
/// kernel does not allow it: the peak is then that of the process so far.
bool reset_peak_rss();

}  // namespace secondsource
