#include "sensors/local_gpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/folder.h"
#include "sensors/nvml.h"
#include "sensors/smi_sensors.h"

namespace secondsource {
namespace {

Result<std::vector<GpuId>> nvidia_gpus(const std::string& library) {
  SS_TRY(const auto nvml, Nvml::open(library));
  SS_TRY(const std::vector<NvmlDevice> devices, nvml->devices());
  std::vector<GpuId> ids;
  for (const NvmlDevice& device : devices) {
    // A GPU in MIG mode is left out: it runs no work itself, and its instances are in the list behind it.
    if (!device.has_instances) ids.push_back(device.uuid);
  }
  return ids;
}

/// Empty without the driver.
std::vector<GpuId> amd_gpus(const std::filesystem::path& driver) {
  std::vector<GpuId> ids;
  const auto entries = list_folder(driver);
  if (!entries) return ids;
  for (const std::filesystem::path& entry : *entries) {
    // Beside the GPUs stand files such as "bind" and "module".
    std::string name = entry.filename().string();
    if (parse_bus_place(name)) ids.push_back(std::move(name));
  }
  return ids;
}

}  // namespace

Result<std::vector<GpuId>> local_gpus(const GpuPlaces& places) {
  const Result<std::vector<GpuId>> nvidia = nvidia_gpus(places.nvml);
  std::vector<GpuId> ids = nvidia ? *nvidia : std::vector<GpuId>();
  std::ranges::move(amd_gpus(places.amd_driver), std::back_inserter(ids));
  if (!ids.empty()) return ids;
  return Error{ErrorCode::kUnavailable,
               fmt::format("this machine has no GPU whose sensors can be read: of NVIDIA: {}; of AMD: none in {}",
                           nvidia ? "the driver lists none" : nvidia.error().message, places.amd_driver.string())};
}

std::unique_ptr<DeviceSensors> open_gpu_sensors(const GpuId& id, const GpuPlaces& places) {
  if (parse_bus_place(id)) return open_amd_sensors(id, places.amd);
  return open_nvml_sensors(id, places.nvml);
}

}  // namespace secondsource
