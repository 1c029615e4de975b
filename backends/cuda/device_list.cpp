#include "cuda/device_list.h"

#include <algorithm>

namespace secondsource::cuda {

bool same_uuid(std::string_view a, std::string_view b) {
  const auto without_kind = [](std::string_view uuid) { return uuid.substr(std::min(uuid.find('-'), uuid.size())); };
  return without_kind(a) == without_kind(b);
}

std::vector<OfferedDevice> offered_devices(const std::vector<NvmlDevice>& all,
                                           const std::optional<std::vector<std::string>>& visible) {
  std::vector<OfferedDevice> offered;
  int index = 0;
  for (const NvmlDevice& device : all) {
    const std::string id = device.parent.empty() ? std::to_string(index++) : device.uuid;
    if (device.has_instances) continue;
    const auto is_same = [&](const std::string& uuid) { return same_uuid(uuid, device.uuid); };
    if (visible && std::ranges::none_of(*visible, is_same)) continue;
    offered.push_back({id, device, {{"CUDA_VISIBLE_DEVICES", device.uuid}}});
  }
  return offered;
}

}  // namespace secondsource::cuda
