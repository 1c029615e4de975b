#pragma once
// Read bandwidth of a device's memory, measured by a kernel that does nothing else.

#include <array>
#include <cstddef>
#include <span>

#include "gpu/host/device_memory.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

/// Several times the largest last-level cache of a GPU (256 MiB, MI300X), so that hardly any read hits it.
inline constexpr std::array<std::size_t, 3> kReadRateBytes = {std::size_t{1} << 30, std::size_t{2} << 30,
                                                              std::size_t{4} << 30};

/// Bytes/s of the fastest of many passes over buffers of these sizes (multiples of 16), with several numbers of blocks.
/// Sizes that do not fit into the device's memory are skipped. Errors: kOutOfMemory if none fits; kInternal if a pass did
/// not read every byte; those of the device.
[[nodiscard]] Result<double> best_read_rate(DeviceMemory& memory, const KernelTable& kernels,
                                            std::span<const std::size_t> sizes);

}  // namespace secondsource::gpu
