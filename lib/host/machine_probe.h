#pragma once
// A short measurement of what the machine can do now, taken beside another one: neighbours on the same memory
// controllers take bandwidth, which no share of CPU time shows, and may come and go between two repetitions.
//
//   SS_TRY(const MachineProbe probe, MachineProbe::create(n_threads, cpus));
//   const MachineMoment moment = probe.look();        // passes over a buffer in memory, and the f32 loop

#include <cstdint>
#include <memory>
#include <vector>

#include "backend_kit/host_memory.h"
#include "core/result.h"
#include "host/host_files.h"

namespace secondsource {

/// Rates of all threads together, as in MachineLimits.
struct MachineMoment {
  double read_bytes_per_s = 0;  ///< from a buffer of `buffer_bytes` in huge pages
  double f32_flops = 0;
  std::int64_t buffer_bytes = 0;  ///< one of the sizes in MachineLimits::reads
};

class MachineProbe {
 public:
  /// Allocates read_buffer_sizes().probe bytes. `n_threads` 0: one per available CPU; `cpus` empty: all that this process
  /// may use. Errors: kOutOfMemory.
  static Result<MachineProbe> create(std::int32_t n_threads, std::vector<std::int32_t> cpus, const HostFiles& files);
  [[nodiscard]] MachineMoment look() const;

 private:
  MachineProbe() : account_(std::make_unique<MemoryAccount>()) {}

  std::unique_ptr<MemoryAccount> account_;  // must outlive the buffer
  HostBuffer buffer_;
  int n_threads_ = 1;
  std::vector<std::int32_t> cpus_;
};

}  // namespace secondsource
