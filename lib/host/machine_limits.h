#pragma once
// Measures what this machine can do at best: how fast it reads memory, and how many multiply-adds it does per second.
// Speeds of runs and of kernels are reported as shares of these limits.
//
//   SS_TRY(const MachineLimits limits, measure_machine_limits(0, {}, HostFiles()));
//   share = achieved_bytes_per_s / *read_limit(limits, working_set_bytes);      // record/roofline.h

#include <cstdint>
#include <vector>

#include "core/interrupt.h"
#include "core/result.h"
#include "host/host_files.h"
#include "record/machine_limits.h"

namespace secondsource {

/// What one look does when other processes had the CPUs meanwhile.
enum class WhenDisturbed : std::uint8_t {
  kMeasureAgain,  ///< up to three times more, for two seconds at most: one undisturbed moment is enough
  kAccept,        ///< the look says how much it was disturbed, and that is all
};

/// One look: read rates over buffers of 256 KiB to read_buffer_sizes().largest in powers of two, and the peaks of
/// operations; each loop is repeated until it becomes no faster. `n_threads` 0: one per available CPU; `cpus` empty: all
/// that this process may use. Takes about half a second. `interrupt`, which may be nullptr, is checked after each timing. Errors:
/// kOutOfMemory, kInterrupted.
Result<MachineLimits> measure_machine_limits(std::int32_t n_threads, const std::vector<std::int32_t>& cpus,
                                             const HostFiles& files,
                                             WhenDisturbed when_disturbed = WhenDisturbed::kMeasureAgain,
                                             const InterruptFlag* interrupt = nullptr);

}  // namespace secondsource
