#pragma once
// Times the loops of limit_loops.h on several threads at once: the ground of machine_limits.h and machine_probe.h.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "backend/host_memory.h"
#include "core/result.h"
#include "measure/limit_loops.h"

namespace secondsource {

/// Repetitions of one measurement. Other load only ever makes a loop slower, so the best is the limit, and a median far
/// below it says that the machine was busy.
struct LimitSamples {
  double best = 0.0;
  double median = 0.0;
};

/// How much of its time a set of threads had a CPU.
struct CpuShare {
  std::atomic<std::int64_t> wall_ns{0};
  std::atomic<std::int64_t> cpu_ns{0};
};

/// CPUs that the calling thread may run on.
[[nodiscard]] int available_cpus();

/// Runs body on a thread of its own that may use `cpus` alone (empty: what the caller may), as may those that it
/// starts.
void on_cpus(const std::vector<std::int32_t>& cpus, const std::function<void()>& body);

/// ns of body(thread) on new threads, from a common start to the last end.
std::int64_t time_threads(int n_threads, const std::function<float(int)>& body, CpuShare* share = nullptr);

/// Bytes/s of all threads together, each reading its part once a repetition.
LimitSamples measure_read(const LimitLoops& loops, std::span<const std::byte> bytes, int n_threads, int n_repetitions);

/// Operations/s of all threads together.
LimitSamples measure_compute(const LimitLoop& loop, int n_threads, int n_repetitions, CpuShare* share = nullptr);

/// A buffer with memory behind every page. Errors: kOutOfMemory.
Result<HostBuffer> make_touched_buffer(MemoryAccount& account, std::size_t bytes, HugePages huge_pages);

}  // namespace secondsource
