#pragma once
// The CPU's own counters of this process and all threads that it starts from now on: instructions, cycles, and misses
// of the last-level cache (perf_event_open(2), user space only). Where the kernel or the machine has none, each reading
// says so.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/file.h"
#include "measure/telemetry.h"

namespace secondsource {

/// process_instructions_per_s, process_cycles_per_s, process_instructions_per_cycle, process_cache_misses_per_s, and
/// process_memory_bytes_per_s: misses times the size of a cache line, which is what came from memory, hardware prefetch
/// left out where the machine does not count it as a miss.
class PerfCounters final : public TelemetrySource {
 public:
  /// Counts from here on.
  PerfCounters();
  std::vector<TelemetryReading> read() override;

 private:
  struct Counter {
    FileDescriptor descriptor;
    std::string why_not;  ///< empty: it counts
    std::int64_t last = 0;
  };
  static Counter open(std::uint64_t event);
  /// Since the last reading; nullopt when it does not count.
  static std::optional<double> advance(Counter& counter);

  Counter instructions_, cycles_, cache_misses_;
  std::int64_t last_ns_ = 0;
};

}  // namespace secondsource
