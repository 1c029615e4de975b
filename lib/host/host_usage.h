#pragma once
// How this process and the whole host used the machine between two points in time: CPU time, faults, switches, memory.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "host/host_files.h"

namespace secondsource {

/// Counters of this process and of the host since each started.
struct HostUsage {
  double process_cpu_s = 0;
  std::int64_t involuntary_switches = 0;
  std::int64_t voluntary_switches = 0;
  std::int64_t minor_faults = 0;
  std::int64_t major_faults = 0;
  /// Sums over all CPUs, from /proc/stat; nullopt if it cannot be read.
  std::optional<double> host_busy_s;  ///< all time except idle and iowait; includes steal
  std::optional<double> host_total_s;
};

[[nodiscard]] HostUsage read_host_usage(const HostFiles& files);

/// The share in [0, 1] of all CPU time between the two readings that was taken by other processes and by the hypervisor
/// (steal).
[[nodiscard]] std::optional<double> others_cpu_share(const HostUsage& before, const HostUsage& after);

/// The largest resident set so far, in bytes: VmHWM of /proc/self/status. Errors: kUnavailable.
[[nodiscard]] Result<std::int64_t> peak_rss_bytes(const HostFiles& files);

/// The current resident set in bytes. Errors: kUnavailable.
[[nodiscard]] Result<std::int64_t> rss_bytes(const HostFiles& files);

/// Resets the largest resident set to the current one, so that each repetition has its own peak. Returns false if the
/// kernel does not allow it; the peak is then that of the whole process so far.
bool reset_peak_rss();

}  // namespace secondsource
