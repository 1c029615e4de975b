#pragma once
// The ids under which the hip backend offers the devices that the runtime sees. A pure function, for tests.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace secondsource::hip {

struct VisibleDevice {
  std::string id;  ///< value of --device
  std::vector<std::pair<std::string, std::string>> environment;
};

/// One for each of the `n_devices` that the runtime sees, in its order. The runtime renumbers the visible devices from 0, so
/// the ids are the entries of HIP_VISIBLE_DEVICES: a worker that sees one device finds it under the id that the run gave
/// it. `visible`: the variable's value, empty if it is not set. Each part of a partitioned GPU is a device.
[[nodiscard]] std::vector<VisibleDevice> visible_devices(std::string_view visible, int n_devices);

}  // namespace secondsource::hip
