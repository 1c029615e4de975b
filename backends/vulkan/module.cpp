// The vulkan module: lists the devices and creates a backend for one of them.

#include "backend/module.h"

#include <fmt/format.h>

#include <algorithm>

#include "gpu/host/backend.h"
#include "vulkan/launchers.h"
#include "vulkan/physical_devices.h"
#include "vulkan/vulkan_device.h"

namespace secondsource::vulkan {
namespace {

constexpr const char* kName = "vulkan";

Result<std::vector<DeviceInfo>> devices() {
  SS_TRY(const std::vector<PhysicalDevice> usable, usable_devices());
  std::vector<DeviceInfo> infos;
  for (const PhysicalDevice& device : usable) infos.push_back(gpu::describe(device.properties, kName));
  return infos;
}

/// The device with this id; the first one if `id` is empty.
Result<PhysicalDevice> choose(const std::string& id) {
  SS_TRY(const std::vector<PhysicalDevice> usable, usable_devices());
  if (id.empty()) return usable.front();
  const auto found = std::ranges::find(usable, id, [](const PhysicalDevice& one) { return one.properties.id; });
  if (found != usable.end()) return *found;
  std::string ids;
  for (const PhysicalDevice& one : usable) ids += fmt::format("{}{}", ids.empty() ? "" : ", ", one.properties.id);
  return Error{ErrorCode::kUnavailable, fmt::format("device {}: expected {}", id, ids)};
}

Result<void> read_vulkan_option(const std::string& key, const std::string& value, gpu::GpuOptions& options,
                                PhysicalDevice& device) {
  if (key == "matrices") {
    if (value != "0" && value != "1") {
      return Error{ErrorCode::kInvalidInput, fmt::format("option {}: expected 0 or 1, found {}", key, value)};
    }
    if (value == "1" && !device.matrices.exist()) {
      return Error{ErrorCode::kUnavailable,
                   fmt::format("option matrices: {} has no cooperative matrices that this program can use",
                               device.properties.name)};
    }
    if (value == "0") use_matrices(device, {});
    return {};
  }
  if (key == "graphs" || key == "guards" || key == "fuse" || key == "tiles") {
    SS_TRY_VOID(gpu::read_option(key, value, options));
    return {};
  }
  return Error{ErrorCode::kInvalidInput,
               fmt::format("option {}: {} knows graphs, guards, fuse, matrices and tiles", key, kName)};
}

/// What a driver that computes on the CPU reads and computes to find its rates: less than a GPU, for which it would take minutes.
gpu::RateExtents extents_on_cpu() {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  return {.cached_bytes = {kMiB},
          .memory_bytes = {256 * kMiB},
          .pass_bytes = 256 * kMiB,
          .compute_steps = 64,
          .n_passes = 3};
}

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  SS_TRY(PhysicalDevice physical, choose(options.device_id));
  gpu::GpuOptions gpu;
  gpu.backend = kName;
  gpu.n_threads = options.n_threads;
  gpu.matmul = gpu::MatmulBy::kOwn;
  gpu.vendor_library_missing = "there is none for Vulkan";
  if (physical.is_software) gpu.rates = extents_on_cpu();
  for (const auto& [key, value] : options.extra) SS_TRY_VOID(read_vulkan_option(key, value, gpu, physical));
  SS_TRY(auto device, open_device(physical));
  return gpu::make_backend(std::move(device), kernel_table(), std::move(gpu));
}

}  // namespace
}  // namespace secondsource::vulkan

SS_BACKEND_MODULE("vulkan", "any GPU with a Vulkan 1.2 driver: own compute shaders", secondsource::vulkan::devices,
                  secondsource::vulkan::create)
