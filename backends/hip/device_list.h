#pragma once
// Under which ids the hip backend offers what the runtime sees: pure, for tests.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace secondsource::hip {

struct VisibleDevice {
  std::string id;  ///< what --device takes
  std::vector<std::pair<std::string, std::string>> environment;
};

/// One for each of the `n_devices` that the runtime sees, in its order. The runtime numbers what HIP_VISIBLE_DEVICES
/// leaves over from 0, so the variable's own entries are the ids: a worker that sees one device alone finds it under
/// the id that the run gave it. `visible` is the variable's value, empty where it is not set. A part of a partitioned
/// GPU is a device of its own.
[[nodiscard]] std::vector<VisibleDevice> visible_devices(std::string_view visible, int n_devices);

}  // namespace secondsource::hip
