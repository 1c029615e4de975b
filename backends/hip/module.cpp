// The hip module: lists the devices and creates a backend for one of them.

#include "backend/module.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "gpu/kernels/tables.h"
#include "gpu/runtime/runtime_backend.h"
#include "hip/device_list.h"
#include "hip/hipblaslt.h"
#include "sensors/amd_sensors.h"

namespace secondsource::hip {
namespace {

constexpr const char* kName = "hip";
constexpr const char* kDriver = "/dev/kfd";
constexpr std::string_view kTargets = SS_HIP_TARGETS;  // "gfx90a gfx942"

struct FoundDevice {
  gpu::runtime::DeviceSummary summary;
  VisibleDevice visible;
};

/// The devices with a target that this module was built for.
Result<std::vector<FoundDevice>> find_devices() {
  // Checked before the runtime is called, which takes a while to fail and gives less detail.
  std::error_code ignored;
  if (!std::filesystem::exists(kDriver, ignored)) {
    return Error{ErrorCode::kUnavailable, fmt::format("{} not found: no AMD GPU driver", kDriver)};
  }
  SS_TRY(auto summaries, gpu::runtime::list_devices());
  const char* const visible = std::getenv("HIP_VISIBLE_DEVICES");
  const auto names = visible_devices(visible != nullptr ? visible : "", static_cast<int>(summaries.size()));
  std::vector<FoundDevice> found;
  std::string other_target;
  for (std::size_t at = 0; at < summaries.size(); ++at) {
    gpu::DeviceProperties& properties = summaries[at].properties;
    if (fmt::format(" {} ", kTargets).find(fmt::format(" {} ", properties.target)) == std::string::npos) {
      other_target = fmt::format("{} is {}: this module was built for {}, which a newer hipcc extends", properties.name,
                                 properties.target, kTargets);
      continue;
    }
    properties.id = names[at].id;
    found.push_back({std::move(summaries[at]), names[at]});
  }
  if (found.empty()) {
    return Error{ErrorCode::kUnavailable, other_target.empty() ? "the driver lists no GPU" : other_target};
  }
  return found;
}

Result<std::vector<DeviceInfo>> devices() {
  SS_TRY(const std::vector<FoundDevice> found, find_devices());
  std::vector<DeviceInfo> infos;
  for (const FoundDevice& one : found) {
    gpu::DeviceProperties properties = one.summary.properties;
    properties.fingerprint = open_amd_sensors(one.summary.pci_bus_id)->properties();
    infos.push_back(gpu::describe(properties, kName));
    infos.back().environment = one.visible.environment;
  }
  return infos;
}

Result<std::shared_ptr<gpu::LibraryMatmul>> open_library(const std::string& file) {
  return file.empty() ? open_hipblaslt() : open_hipblaslt({file});
}

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  SS_TRY(const std::vector<FoundDevice> found, find_devices());
  for (const FoundDevice& one : found) {
    if (!options.device_id.empty() && options.device_id != one.visible.id) continue;
    return gpu::runtime::create_backend(kName, options, one.summary, open_amd_sensors(one.summary.pci_bus_id),
                                        gpu::hip_target::kernel_table(), open_library);
  }
  return Error{ErrorCode::kUnavailable,
               fmt::format("device {}: there is none, or HIP_VISIBLE_DEVICES hides it", options.device_id)};
}

}  // namespace
}  // namespace secondsource::hip

SS_BACKEND_MODULE("hip", "AMD GPUs: own kernels, HIP graphs", secondsource::hip::devices, secondsource::hip::create)
