#include "cuda/device_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace secondsource::cuda {
namespace {

/// The number at the beginning of "90a"; 0 if there is none.
int leading_number(std::string_view text) {
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// Machine code runs on GPUs of its generation whose number is its own or larger; code with a letter runs on its own number only.
bool runs_on(std::string_view built, int target) {
  const int own = leading_number(built);
  if (built.ends_with('a')) return own == target;
  return own / 10 == target / 10 && own <= target;
}

}  // namespace

std::string why_no_code(std::string_view name, std::string_view target, int oldest, std::string_view built) {
  const int number = target.starts_with("sm_") ? leading_number(target.substr(3)) : 0;
  if (number == 0) return {};
  if (number < oldest) return fmt::format("{} is {}: expected sm_{} or newer", name, target, oldest);
  if (built.empty()) return {};
  for (std::string_view rest = built; !rest.empty();) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    if (runs_on(rest.substr(0, end), number)) return {};
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return fmt::format("{} is {}: this module was built for the targets {} alone (SECONDSOURCE_CUDA_TARGETS)", name,
                     target, built);
}

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
