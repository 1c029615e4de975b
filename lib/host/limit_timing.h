#pragma once
// Times the loops of limit_loops.h on several threads at once, for machine_limits.h, limit_details.h and
// machine_probe.h.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "backend_kit/host_memory.h"
#include "core/result.h"
#include "host/limit_loops.h"

namespace secondsource {

/// Summary of repeated timings of one loop. Other load only makes a loop slower, so the best is the limit, and a median
/// far below it means that the machine was busy.
struct LimitSamples {
  double best = 0.0;
  double median = 0.0;
};

/// Elapsed time and CPU time of a set of threads; their ratio is the share of the time in which they had a CPU.
struct CpuShare {
  std::atomic<std::int64_t> wall_ns{0};
  std::atomic<std::int64_t> cpu_ns{0};
};

/// Runs body on a new thread that is limited to `cpus` (empty: to the caller's CPUs), as are the threads it starts.
void on_cpus(const std::vector<std::int32_t>& cpus, const std::function<void()>& body);

/// Runs body(thread) on `n_threads` new threads; returns ns from their common start to the last one's end.
std::int64_t time_threads(int n_threads, const std::function<float(int)>& body, CpuShare* share = nullptr);

/// Bytes/s of all threads together; in each repetition each thread reads its part of `bytes` once.
LimitSamples measure_read(const LimitLoops& loops, std::span<const std::byte> bytes, int n_threads, int n_repetitions);

/// Operations/s of all threads together.
LimitSamples measure_compute(const LimitLoop& loop, int n_threads, int n_repetitions, CpuShare* share = nullptr);

/// A zeroed buffer, all of whose pages are in memory. Errors: kOutOfMemory.
Result<HostBuffer> make_touched_buffer(MemoryAccount& account, std::size_t bytes, HugePages huge_pages);

}  // namespace secondsource
