#pragma once
// Which devices the cuda backend offers, under which ids, and the environment of a worker for each. Pure functions of what
// NVML and the runtime report.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sensors/nvml.h"

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

/// Why a module has no code for this device: "NAME is sm_75: expected sm_80 or newer", or that its code is for the targets
/// `built` ("80 90a") alone. Code for sm_80 runs on all of sm_8x, that for 90a on sm_90 only; an empty `built` is every
/// target, with PTX. Empty if the device is fit, or its target unknown.
[[nodiscard]] std::string why_no_code(std::string_view name, std::string_view target, int oldest,
                                      std::string_view built);

/// True if both UUIDs are equal apart from their prefix: the runtime also writes GPU- before an instance's UUID.
[[nodiscard]] bool same_uuid(std::string_view a, std::string_view b);

}  // namespace secondsource::cuda
