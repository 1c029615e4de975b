// The cuda module: lists the devices and creates a backend for one of them.

#include "backend/module.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "cuda/cublaslt.h"
#include "cuda/device_list.h"
#include "cuda/driver.h"
#include "gpu/kernels/tables.h"
#include "gpu/runtime/api.h"
#include "gpu/runtime/runtime_backend.h"

namespace secondsource::cuda {
namespace {

constexpr const char* kName = "cuda";
constexpr int kOldestTarget = 80;  // BF16 on the matrix cores, asynchronous copies

/// The devices that NVML reports. Errors: kUnavailable without NVML.
Result<std::vector<OfferedDevice>> offered() {
  SS_TRY(const auto nvml, Nvml::open());
  SS_TRY(const std::vector<NvmlDevice> all, nvml->devices());
  std::optional<std::vector<std::string>> visible;
  if (std::getenv("CUDA_VISIBLE_DEVICES") != nullptr) {
    visible.emplace();
    SS_TRY(const auto devices, gpu::runtime::list_devices());
    for (const gpu::runtime::DeviceSummary& device : devices) visible->push_back(device.uuid);
  }
  return offered_devices(all, visible);
}

/// True for "sm_80" and newer. An unknown target passes; opening the device then decides.
bool is_supported(const std::string& target) {
  return target.size() <= 3 || std::atoi(target.c_str() + 3) >= kOldestTarget;
}

Result<std::vector<DeviceInfo>> devices() {
  SS_TRY_VOID(check_driver(CUDART_VERSION));
  std::vector<DeviceInfo> infos;
  std::string too_old;
  const auto add = [&](const gpu::DeviceProperties& properties, const auto& environment) {
    if (!is_supported(properties.target)) {
      too_old = fmt::format("{} is {}: expected sm_{} or newer", properties.name, properties.target, kOldestTarget);
      return;
    }
    infos.push_back(gpu::describe(properties, kName));
    infos.back().environment = environment;
  };
  if (const auto found = offered()) {
    for (const OfferedDevice& one : *found) {
      gpu::DeviceProperties properties;
      properties.id = one.id;
      properties.name = one.device.name;
      properties.target = one.device.target;
      properties.memory_bytes = one.device.memory_bytes;
      properties.fingerprint = open_nvml_sensors(one.device.uuid)->properties();
      add(properties, one.environment);
    }
  } else {
    SS_TRY(const auto summaries, gpu::runtime::list_devices());
    for (const gpu::runtime::DeviceSummary& summary : summaries) add(summary.properties, DeviceInfo{}.environment);
  }
  if (infos.empty()) return Error{ErrorCode::kUnavailable, too_old.empty() ? "the driver lists no GPU" : too_old};
  return infos;
}

/// The device with this id; the first one if `id` is empty.
Result<gpu::runtime::DeviceSummary> choose(const std::string& id) {
  SS_TRY(std::vector<gpu::runtime::DeviceSummary> summaries, gpu::runtime::list_devices());
  const auto found = offered();
  if (found && !found->empty()) {
    const auto one = id.empty() ? found->begin() : std::ranges::find(*found, id, &OfferedDevice::id);
    if (one == found->end()) return Error{ErrorCode::kUnavailable, fmt::format("device {}: there is none", id)};
    for (gpu::runtime::DeviceSummary& summary : summaries) {
      if (!same_uuid(summary.uuid, one->device.uuid)) continue;
      summary.properties.id = one->id;
      summary.uuid = one->device.uuid;  // for an instance the sensors need the MIG- UUID
      return summary;
    }
    return Error{ErrorCode::kUnavailable,
                 fmt::format("device {} is not visible to this process: start it with CUDA_VISIBLE_DEVICES={}", one->id,
                             one->device.uuid)};
  }
  for (const gpu::runtime::DeviceSummary& summary : summaries) {
    if (id.empty() || summary.properties.id == id) return summary;
  }
  return Error{ErrorCode::kUnavailable, fmt::format("device {}: there are {}", id, summaries.size())};
}

Result<std::shared_ptr<gpu::LibraryMatmul>> open_library(const std::string& file) {
  return open_cublaslt(file.empty() ? cublaslt_names(CUDART_VERSION / 1000) : std::vector{file});
}

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  SS_TRY_VOID(check_driver(CUDART_VERSION));
  SS_TRY(const gpu::runtime::DeviceSummary device, choose(options.device_id));
  if (!is_supported(device.properties.target)) {
    return Error{ErrorCode::kUnavailable, fmt::format("{} is {}: expected sm_{} or newer", device.properties.name,
                                                      device.properties.target, kOldestTarget)};
  }
  return gpu::runtime::create_backend(kName, options, device, open_nvml_sensors(device.uuid),
                                      gpu::cuda_target::kernel_table(), open_library);
}

}  // namespace
}  // namespace secondsource::cuda

SS_BACKEND_MODULE("cuda", "NVIDIA GPUs from sm_80: own kernels, CUDA graphs", secondsource::cuda::devices,
                  secondsource::cuda::create)
