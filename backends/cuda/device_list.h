#pragma once
// Which devices the cuda backend offers, under which ids, and what a worker's environment must hold for each: pure,
// from what NVML and the runtime say.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cuda/nvml.h"

namespace secondsource::cuda {

struct OfferedDevice {
  std::string id;  ///< index in NVML's order (that of the PCI bus), or a MIG instance's UUID: what --device takes
  NvmlDevice device;
  /// CUDA_VISIBLE_DEVICES with its UUID: an index would be counted in another order.
  std::vector<std::pair<std::string, std::string>> environment;
};

/// All GPUs but those whose MIG mode is on, whose instances are offered instead. `visible`: UUIDs that the runtime
/// sees, where CUDA_VISIBLE_DEVICES restricts it; nullopt: it does not.
[[nodiscard]] std::vector<OfferedDevice> offered_devices(const std::vector<NvmlDevice>& all,
                                                         const std::optional<std::vector<std::string>>& visible);

/// "GPU-8932f937-..." and "MIG-8932f937-..." name the same: the runtime writes GPU- in front of an instance's UUID,
/// too.
[[nodiscard]] bool same_uuid(std::string_view a, std::string_view b);

}  // namespace secondsource::cuda
