#pragma once
// Times the loops of limit_loops.h on several threads at once, as the basis of machine_limits.h and machine_probe.h.

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

/// Summary of the repetitions of one measurement. Other load can only make a loop slower, so the best value is the
/// limit, and a median far below it shows that the machine was busy.
struct LimitSamples {
  double best = 0.0;
  double median = 0.0;
};

/// For how much of its time a set of threads had a CPU.
struct CpuShare {
  std::atomic<std::int64_t> wall_ns{0};
  std::atomic<std::int64_t> cpu_ns{0};
};

/// The number of CPUs on which the calling thread may run.
[[nodiscard]] int available_cpus();

/// Runs body on a new thread that may use only `cpus` (empty means those of the caller). The threads that it starts
/// inherit this limit.
void on_cpus(const std::vector<std::int32_t>& cpus, const std::function<void()>& body);

/// Runs body(thread) on new threads and returns the nanoseconds from their common start to the end of the last one.
std::int64_t time_threads(int n_threads, const std::function<float(int)>& body, CpuShare* share = nullptr);

/// Bytes/s of all threads together. In every repetition each thread reads its part of the buffer once.
LimitSamples measure_read(const LimitLoops& loops, std::span<const std::byte> bytes, int n_threads, int n_repetitions);

/// Operations/s of all threads together.
LimitSamples measure_compute(const LimitLoop& loop, int n_threads, int n_repetitions, CpuShare* share = nullptr);

/// Allocates a buffer and touches every page. Errors: kOutOfMemory.
Result<HostBuffer> make_touched_buffer(MemoryAccount& account, std::size_t bytes, HugePages huge_pages);

}  // namespace secondsource
