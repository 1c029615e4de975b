#pragma once
// Why a program may stay below the machine's limits (machine_limits.h): what fewer threads reach, what small pages and
// mapped files cost, and what one barrier of all threads takes. For people who tune kernels; runs do not record it.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "host/limit_timing.h"

namespace secondsource {

/// A rate of `n_threads` together.
struct DetailedRate {
  std::string name;
  int n_threads = 1;
  LimitSamples per_s;  ///< bytes or operations
};

struct LimitDetails {
  std::size_t buffer_bytes = 0;  ///< read once per repetition, all threads together
  /// Reads with 4 KiB pages, with 2 MiB pages where the kernel grants them, and of a mapped file in the page cache;
  /// operations of one thread and of all, for every instruction of limit_loops.h.
  std::vector<DetailedRate> rates;
  bool has_mapped_file = true;  ///< false where no temporary file could be written
  /// From the last thread's arrival at a spinning barrier until all threads have seen it, in ns; here `best` is the
  /// smallest. nullopt with one thread.
  std::optional<LimitSamples> barrier_ns;
};

struct LimitDetailsOptions {
  int n_threads = 0;  ///< 0: one per available CPU
  /// Well beyond the last-level cache. Allocated while this runs, and written once to a temporary file.
  std::size_t buffer_bytes = std::size_t{512} << 20;
  int n_repetitions = 7;
};

/// Takes about five seconds. Errors: kOutOfMemory, kInvalidInput.
Result<LimitDetails> measure_limit_details(const LimitDetailsOptions& options);

}  // namespace secondsource
