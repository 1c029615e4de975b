#pragma once
// Which devices the cuda backend offers, under which ids, and the environment of a worker for each. Pure functions of what
// NVML and the runtime report.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cuda/nvml.h"

namespace secondsource::cuda {

struct OfferedDevice {
  std::string id;  ///< value of --device: index in NVML's order (that of the PCI bus), or a MIG instance's UUID
  NvmlDevice device;
  /// CUDA_VISIBLE_DEVICES with the UUID; CUDA counts indices in another order.
  std::vector<std::pair<std::string, std::string>> environment;
};

/// All GPUs, or for those in MIG mode their instances. `visible`: the UUIDs that the runtime sees if CUDA_VISIBLE_DEVICES is
/// set, else nullopt.
[[nodiscard]] std::vector<OfferedDevice> offered_devices(const std::vector<NvmlDevice>& all,
                                                         const std::optional<std::vector<std::string>>& visible);

/// True if both UUIDs are equal apart from their prefix: the runtime also writes GPU- before an instance's UUID.
[[nodiscard]] bool same_uuid(std::string_view a, std::string_view b);

}  // namespace secondsource::cuda
