#pragma once
// What this machine can do at best, measured by small loops: how fast it reads memory, and how many multiply-adds it
// starts a second. Kernels and runs are reported as a fraction of these.
//
//   SS_TRY(const MachineLimits limits, measure_machine_limits({}));        // about five seconds
//   fraction = achieved_bytes_per_s / limits.read_all_huge.best;

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "measure/host_files.h"
#include "measure/limit_timing.h"
#include "report/records.h"

namespace secondsource {

/// The read limit of so many threads together.
struct ThreadsRead {
  int n_threads = 0;
  LimitSamples bytes_per_s;
};

/// Rates in bytes/s and in operations/s, a multiply and an add being two. Nothing where the CPU lacks the instruction.
struct MachineLimits {
  int n_threads = 1;
  std::string instruction_set;   ///< of the loops: "avx512", "avx2", "portable"
  std::size_t buffer_bytes = 0;  ///< read once per repetition, all threads together
  LimitSamples read_1_small;     ///< one thread, 4 KiB pages
  LimitSamples read_1_huge;      ///< one thread, 2 MiB pages where the kernel grants them
  LimitSamples read_all_small;
  LimitSamples read_all_huge;
  std::optional<LimitSamples>
      read_1_mapped;  ///< a file in the page cache, mapped; nothing where no file can be written
  std::optional<LimitSamples> read_all_mapped;
  std::vector<ThreadsRead> read_huge;  ///< 1, 2, 4, ... and all threads
  std::vector<ReadLimit> read_sizes;   ///< all threads over buffers of 256 KiB to 256 MiB: the caches
  /// ns from the last thread's arrival at a barrier that spins until all threads know; nothing with one thread. Here
  /// `best` is the smallest.
  std::optional<LimitSamples> barrier_ns;
  LimitSamples f32_1;  ///< f32 multiply-add
  LimitSamples f32_all;
  std::optional<LimitSamples> bf16_1;  ///< BF16 pairs summed in f32 (vdpbf16ps)
  std::optional<LimitSamples> bf16_all;
  std::optional<LimitSamples> int8_1;  ///< int8 quads summed in int32 (vpdpbusd)
  std::optional<LimitSamples> int8_all;
};

struct MachineLimitsOptions {
  int n_threads = 0;  ///< 0: all CPUs that this process may run on
  /// Well beyond the last-level cache. Memory in use while this runs.
  std::size_t buffer_bytes = std::size_t{512} << 20;
  int n_repetitions = 7;
};

/// The mapped file lies in the folder for temporary files while this runs. Errors: kOutOfMemory, kInvalidInput.
Result<MachineLimits> measure_machine_limits(const MachineLimitsOptions& options);

/// The limits that a run's speeds are held against: read rates over buffers of 256 KiB to 256 MiB, each twice the one
/// before, and the peaks of operations, with threads on `cpus` (empty: on all that this process may use). About half a
/// second, four times that while others have the CPUs. Errors: kOutOfMemory.
Result<RunLimits> measure_run_limits(std::int32_t n_threads, const std::vector<std::int32_t>& cpus,
                                     const HostFiles& files);

/// Of two measurements of one machine the higher one of each limit: other load only makes a loop slower.
[[nodiscard]] RunLimits highest_of(const RunLimits& a, const RunLimits& b);

}  // namespace secondsource
