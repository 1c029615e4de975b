// The cuda module: lists the devices and creates a backend for one of them.

#include "backend/module.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "cuda/cublaslt.h"
#include "cuda/device_list.h"
#include "cuda/driver.h"
#include "gpu/kernels/tables.h"
#include "gpu/runtime/api.h"
#include "gpu/runtime/runtime_backend.h"

namespace secondsource::cuda {
namespace {

constexpr const char* kName = "cuda";
constexpr int kOldestTarget = 80;                             // BF16 on the matrix cores, asynchronous copies
constexpr std::string_view kChosenTargets = SS_CUDA_TARGETS;  // "80 90a"; empty: all, and PTX for newer ones

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

/// Why the module has no code for a device; empty if it has, or if the device's target is unknown: opening it then decides.
std::string why_unfit(const gpu::DeviceProperties& properties) {
  return why_no_code(properties.name, properties.target, kOldestTarget, kChosenTargets);
}

Result<std::vector<DeviceInfo>> devices() {
  SS_TRY_VOID(check_driver(CUDART_VERSION));
  std::vector<DeviceInfo> infos;
  std::string unfit;
  const auto add = [&](const gpu::DeviceProperties& properties, const auto& environment) {
    if (std::string why = why_unfit(properties); !why.empty()) {
      unfit = std::move(why);
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
  if (infos.empty()) return Error{ErrorCode::kUnavailable, unfit.empty() ? "the driver lists no GPU" : unfit};
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
  if (std::string why = why_unfit(device.properties); !why.empty()) {
    return Error{ErrorCode::kUnavailable, std::move(why)};
  }
  return gpu::runtime::create_backend(kName, options, device, open_nvml_sensors(device.uuid),
                                      gpu::cuda_target::kernel_table(), open_library);
}

}  // namespace
}  // namespace secondsource::cuda

SS_BACKEND_MODULE("cuda", "NVIDIA GPUs from sm_80: own kernels, CUDA graphs", secondsource::cuda::devices,
                  secondsource::cuda::create)
