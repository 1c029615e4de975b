#include "hip/device_list.h"

#include <algorithm>

namespace secondsource::hip {

std::vector<VisibleDevice> visible_devices(std::string_view visible, int n_devices) {
  std::vector<VisibleDevice> devices;
  for (int ordinal = 0; ordinal < n_devices; ++ordinal) {
    const std::size_t end = std::min(visible.find(','), visible.size());
    std::string id(visible.substr(0, end));
    visible.remove_prefix(std::min(end + 1, visible.size()));
    if (id.empty()) id = std::to_string(ordinal);
    devices.push_back({id, {{"HIP_VISIBLE_DEVICES", id}}});
  }
  return devices;
}

}  // namespace secondsource::hip
