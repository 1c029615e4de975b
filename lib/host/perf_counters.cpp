#include "host/perf_counters.h"

#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/clock.h"

namespace secondsource {
namespace {

// The cache line size of every supported machine.
constexpr double kCacheLineBytes = 64;

std::string reason(int error) {
  if (error == ENOENT || error == ENODEV || error == EOPNOTSUPP) {
    return "not available: this machine shows no such hardware counter";
  }
  if (error == EACCES || error == EPERM) {
    return "not available: the kernel does not allow it (/proc/sys/kernel/perf_event_paranoid above 2, or a container)";
  }
  return fmt::format("not available: perf_event_open: {}", std::strerror(error));
}

}  // namespace

PerfCounters::PerfCounters()
    : instructions_(open(PERF_COUNT_HW_INSTRUCTIONS)),
      cycles_(open(PERF_COUNT_HW_CPU_CYCLES)),
      cache_misses_(open(PERF_COUNT_HW_CACHE_MISSES)),
      last_ns_(now_ns()) {}

PerfCounters::Counter PerfCounters::open(std::uint64_t event) {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_HARDWARE;
  attributes.config = event;
  attributes.inherit = 1;  // also counts threads that are started later
  attributes.exclude_kernel = 1;
  attributes.exclude_hv = 1;
  attributes.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
  Counter counter;
  counter.descriptor =
      FileDescriptor(static_cast<int>(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!counter.descriptor.is_open()) counter.why_not = reason(errno);
  return counter;
}

std::optional<double> PerfCounters::advance(Counter& counter) {
  struct Reading {
    std::uint64_t value, enabled_ns, running_ns;
  } reading{};
  if (!counter.why_not.empty()) return std::nullopt;
  if (::read(counter.descriptor.get(), &reading, sizeof reading) != sizeof reading) {
    counter.why_not = fmt::format("not available: reading the counter: {}", std::strerror(errno));
    return std::nullopt;
  }
  if (reading.running_ns == 0) return std::nullopt;
  // If there are more counters than the CPU has, the kernel lets them take turns.
  const double scale = static_cast<double>(reading.enabled_ns) / static_cast<double>(reading.running_ns);
  const auto total = static_cast<std::int64_t>(static_cast<double>(reading.value) * scale);
  const std::int64_t since = total - std::exchange(counter.last, total);
  return static_cast<double>(std::max<std::int64_t>(0, since));
}

std::vector<TelemetryReading> PerfCounters::read() {
  const std::int64_t now = now_ns();
  const double elapsed_s = std::max(1e-9, 1e-9 * static_cast<double>(now - std::exchange(last_ns_, now)));
  std::vector<TelemetryReading> readings;
  const auto add = [&](const char* name, const std::optional<double>& value, const Counter& counter) {
    const std::string why = counter.why_not.empty() ? "not available: the process has not run yet" : counter.why_not;
    readings.push_back({name, value, value ? "" : why});
  };
  const auto per_second = [&](const std::optional<double>& count) {
    return count ? std::optional(*count / elapsed_s) : std::nullopt;
  };
  const auto instructions = advance(instructions_);
  const auto cycles = advance(cycles_);
  const auto misses = advance(cache_misses_);
  add("process_instructions_per_s", per_second(instructions), instructions_);
  add("process_cycles_per_s", per_second(cycles), cycles_);
  const bool both = instructions && cycles && *cycles > 0;
  add("process_instructions_per_cycle", both ? std::optional(*instructions / *cycles) : std::nullopt,
      instructions_.why_not.empty() ? cycles_ : instructions_);
  add("process_cache_misses_per_s", per_second(misses), cache_misses_);
  add("process_memory_bytes_per_s", misses ? std::optional(*misses * kCacheLineBytes / elapsed_s) : std::nullopt,
      cache_misses_);
  return readings;
}

}  // namespace secondsource
