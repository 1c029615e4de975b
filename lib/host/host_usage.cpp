#include "host/host_usage.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "core/file.h"
#include "core/number.h"
#include "host/proc_stat.h"

namespace secondsource {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

Result<std::int64_t> status_bytes(const HostFiles& files, std::string_view key) {
  SS_TRY(const std::string text, files.read("proc/self/status"));
  const auto kibibytes = parse_number_prefix<std::int64_t>(value_of_line(text, key));
  if (!kibibytes) return Error{ErrorCode::kUnavailable, "/proc/self/status: no line " + std::string(key)};
  return kibibytes->value * 1024;
}

}  // namespace

HostUsage read_host_usage(const HostFiles& files) {
  HostUsage usage;
  rusage process{};
  if (::getrusage(RUSAGE_SELF, &process) == 0) {
    usage.process_cpu_s = seconds(process.ru_utime) + seconds(process.ru_stime);
    usage.involuntary_switches = process.ru_nivcsw;
    usage.voluntary_switches = process.ru_nvcsw;
    usage.minor_faults = process.ru_minflt;
    usage.major_faults = process.ru_majflt;
  }
  if (const auto ticks = read_cpu_ticks(files)) {
    const CpuTicks sum = sum_of(*ticks, {});
    usage.host_total_s = ticks_to_s(sum.total);
    usage.host_busy_s = ticks_to_s(sum.busy);
  }
  return usage;
}

std::optional<double> others_cpu_share(const HostUsage& before, const HostUsage& after) {
  if (!before.host_total_s || !after.host_total_s) return std::nullopt;
  const double total_s = *after.host_total_s - *before.host_total_s;
  // /proc/stat counts hundredths of a second, too coarse for a shorter interval.
  if (total_s < 0.1) return std::nullopt;
  const double busy_s = *after.host_busy_s - *before.host_busy_s;
  const double own_s = after.process_cpu_s - before.process_cpu_s;
  return std::clamp((busy_s - own_s) / total_s, 0.0, 1.0);
}

Result<std::int64_t> peak_rss_bytes(const HostFiles& files) {
  return status_bytes(files, "VmHWM");
}

Result<std::int64_t> rss_bytes(const HostFiles& files) {
  return status_bytes(files, "VmRSS");
}

bool reset_peak_rss() {
  // Since Linux 4.0, writing 5 to clear_refs resets the peak resident set size (proc(5)).
  const FileDescriptor descriptor(::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC));
  return descriptor.is_open() && ::write(descriptor.get(), "5", 1) == 1;
}

}  // namespace secondsource
