#pragma once
// What a device does at best (backend/device_rates.h), measured by kernels that do nothing else.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backend/device_rates.h"
#include "gpu/host/device_memory.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

/// How much is read and computed. The defaults are those of a GPU.
struct RateExtents {
  /// Working sets whose read rate is measured, ascending. Those that fit a cache give its rate. From 1 MiB on, the caches of
  /// single processors do not hold them (read_memory.cpp).
  std::vector<std::size_t> cached_bytes = {std::size_t{1} << 20, std::size_t{4} << 20, std::size_t{16} << 20,
                                           std::size_t{64} << 20, std::size_t{256} << 20};
  /// Several times the largest last-level cache of a GPU (256 MiB, MI300X), so that hardly any read hits it; ascending. The
  /// fastest counts as the rate of the first.
  std::vector<std::size_t> memory_bytes = {std::size_t{1} << 30, std::size_t{2} << 30, std::size_t{4} << 30};
  std::size_t pass_bytes = std::size_t{1} << 30;  ///< read at least in one launch, so that its start hardly counts
  std::int32_t compute_steps = 2048;              ///< of ComputeArguments; about a millisecond
  int n_passes = 10;                              ///< launches, of which the fastest counts
};

/// Matrix units of a target whose peak the kernels here do not reach, so that it is not known; empty where they do.
[[nodiscard]] std::string unmeasured_units(const DeviceProperties& properties);

/// Measures as RateEffort says. What it allocates is in no account of memory. Sizes that do not fit are skipped. Errors:
/// kOutOfMemory if none of `memory_bytes` fits; kInternal if a pass did not read every byte or make every product; those of
/// the device.
[[nodiscard]] Result<DeviceRates> measure_device_rates(DeviceMemory& memory, const KernelTable& kernels,
                                                       const RateExtents& extents, RateEffort effort);

}  // namespace secondsource::gpu
