#pragma once
// Measures with small loops what this machine can do at best: how fast it reads memory, and how many multiply-adds it
// starts per second. Kernels and runs are reported as fractions of these limits.
//
//   SS_TRY(const MachineLimits limits, measure_machine_limits({}));        // about five seconds
//   fraction = achieved_bytes_per_s / limits.read_all_huge.best;

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "host/host_files.h"
#include "host/limit_timing.h"
#include "record/records.h"

namespace secondsource {

/// The read limit of `n_threads` threads together.
struct ThreadsRead {
  int n_threads = 0;
  LimitSamples bytes_per_s;
};

/// Rates are in bytes/s and in operations/s, where a multiply and an add count as two. Rates are absent if the CPU
/// lacks the instruction.
struct MachineLimits {
  int n_threads = 1;
  std::string instruction_set;   ///< instruction set of the loops: "avx512", "avx2", "portable"
  std::size_t buffer_bytes = 0;  ///< read once per repetition, all threads together
  LimitSamples read_1_small;     ///< one thread, 4 KiB pages
  LimitSamples read_1_huge;      ///< one thread, 2 MiB pages if the kernel grants them
  LimitSamples read_all_small;
  LimitSamples read_all_huge;
  std::optional<LimitSamples>
      read_1_mapped;  ///< One thread reads a mapped file in the page cache; absent if no file can be written.
  std::optional<LimitSamples> read_all_mapped;
  std::vector<ThreadsRead> read_huge;  ///< with 1, 2, 4, ... and all threads
  std::vector<ReadLimit> read_sizes;   ///< all threads on buffers of 256 KiB to 256 MiB, which shows the caches
  /// Nanoseconds from the last thread's arrival at a spinning barrier until all threads have noticed; absent with one
  /// thread. Here `best` is the smallest value.
  std::optional<LimitSamples> barrier_ns;
  LimitSamples f32_1;  ///< f32 multiply-add
  LimitSamples f32_all;
  std::optional<LimitSamples> bf16_1;  ///< BF16 pairs summed in f32 (vdpbf16ps)
  std::optional<LimitSamples> bf16_all;
  std::optional<LimitSamples> int8_1;  ///< int8 quads summed in int32 (vpdpbusd)
  std::optional<LimitSamples> int8_all;
};

struct MachineLimitsOptions {
  int n_threads = 0;  ///< 0 means all CPUs that this process may use
  /// Well above the size of the last-level cache. This much memory is in use during the measurement.
  std::size_t buffer_bytes = std::size_t{512} << 20;
  int n_repetitions = 7;
};

/// Measures all limits. The mapped file lies in the folder for temporary files during the measurement. Errors:
/// kOutOfMemory, kInvalidInput.
Result<MachineLimits> measure_machine_limits(const MachineLimitsOptions& options);

/// Measures the limits with which a run's speeds are compared: read rates for buffers of 256 KiB to 256 MiB, each twice
/// the size of the one before, and the peaks of operations, with threads on `cpus` (empty means all that this process
/// may use). Takes about half a second, and up to four times that while other processes have the CPUs. Errors:
/// kOutOfMemory.
Result<RunLimits> measure_run_limits(std::int32_t n_threads, const std::vector<std::int32_t>& cpus,
                                     const HostFiles& files);

/// Combines two measurements of one machine by taking the higher value of each limit, because other load can only make
/// a loop slower.
[[nodiscard]] RunLimits highest_of(const RunLimits& a, const RunLimits& b);

}  // namespace secondsource
