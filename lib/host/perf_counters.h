#pragma once
// The CPU's hardware counters for this process and all threads that it starts after construction: instructions, cycles,
// and misses of the last-level cache (perf_event_open(2), user space only). If the kernel or the machine has none, each
// reading gives the reason.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/file.h"
#include "host/telemetry.h"

namespace secondsource {

/// Readings: process_instructions_per_s, process_cycles_per_s, process_instructions_per_cycle,
/// process_cache_misses_per_s, and process_memory_bytes_per_s. The last is misses times the size of a cache line, which
/// is the traffic from memory, without hardware prefetches on machines that do not count them as misses.
class PerfCounters final : public TelemetrySource {
 public:
  /// Starts counting.
  PerfCounters();
  std::vector<TelemetryReading> read() override;

 private:
  struct Counter {
    FileDescriptor descriptor;
    std::string why_not;  ///< empty if the counter works
    std::int64_t last = 0;
  };
  static Counter open(std::uint64_t event);
  /// The count since the last reading; nullopt if the counter does not work.
  static std::optional<double> advance(Counter& counter);

  Counter instructions_, cycles_, cache_misses_;
  std::int64_t last_ns_ = 0;
};

}  // namespace secondsource
