#include "vulkan/physical_devices.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>

#include "vulkan/kernels/parameters.h"

namespace secondsource::vulkan {
namespace {

constexpr std::uint32_t kSharedBytes = 32 << 10;  ///< the most that a kernel uses
constexpr std::uint32_t kThreads = 256;           ///< of the largest workgroup
/// The number of processors that is assumed where no extension reports it: that of a mid-range GPU.
constexpr int kUnknownProcessors = 32;

int kind_order(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return 0;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return 1;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return 2;
    default:
      return 3;
  }
}

/// What the kernels and the host part use and this device lacks, each followed by a comma.
std::string missing_features(VkPhysicalDevice device) {
  auto of_12 = make<VkPhysicalDeviceVulkan12Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
  auto of_11 = make<VkPhysicalDeviceVulkan11Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES);
  auto features = make<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2);
  features.pNext = &of_11;
  of_11.pNext = &of_12;
  vkGetPhysicalDeviceFeatures2(device, &features);
  std::string missing;
  const auto need = [&](VkBool32 has, const char* name) {
    if (has != VK_TRUE) missing += fmt::format("{}, ", name);
  };
  need(features.features.shaderInt64, "shaderInt64");
  need(features.features.shaderInt16, "shaderInt16");
  need(of_11.storageBuffer16BitAccess, "storageBuffer16BitAccess");
  need(of_12.storageBuffer8BitAccess, "storageBuffer8BitAccess");
  need(of_12.shaderInt8, "shaderInt8");
  need(of_12.bufferDeviceAddress, "bufferDeviceAddress");
  need(of_12.scalarBlockLayout, "scalarBlockLayout");
  need(of_12.timelineSemaphore, "timelineSemaphore");
  return missing;
}

std::string why_unfit(VkPhysicalDevice device, const VkPhysicalDeviceProperties& properties,
                      const VkPhysicalDeviceSubgroupProperties& subgroups) {
  if (properties.apiVersion < VK_API_VERSION_1_2) {
    return fmt::format("expected Vulkan 1.2 or newer, found {}.{}", VK_API_VERSION_MAJOR(properties.apiVersion),
                       VK_API_VERSION_MINOR(properties.apiVersion));
  }
  std::string missing = missing_features(device);
  constexpr VkSubgroupFeatureFlags kOperations = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
  if ((subgroups.supportedOperations & kOperations) != kOperations ||
      (subgroups.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) == 0) {
    missing += "arithmetic of subgroups in compute shaders, ";
  }
  if (subgroups.subgroupSize < std::uint32_t{kLeastSubgroup}) missing += "subgroups of 4 threads or more, ";
  const VkPhysicalDeviceLimits& limits = properties.limits;
  if (limits.maxComputeSharedMemorySize < kSharedBytes) missing += "32 KiB of shared memory, ";
  if (limits.maxComputeWorkGroupInvocations < kThreads || limits.maxComputeWorkGroupSize[0] < kThreads) {
    missing += "workgroups of 256 threads, ";
  }
  if (missing.empty()) return "";
  missing.resize(missing.size() - 2);
  return "its driver lacks " + missing;
}

/// A queue family with compute, preferably one without graphics, which other programs do not keep busy.
std::optional<std::uint32_t> compute_family(VkPhysicalDevice device, std::uint32_t& timestamp_bits) {
  std::uint32_t n = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(device, &n, nullptr);
  std::vector<VkQueueFamilyProperties> families(n);
  vkGetPhysicalDeviceQueueFamilyProperties(device, &n, families.data());
  std::optional<std::uint32_t> chosen;
  for (std::uint32_t i = 0; i < n; ++i) {
    const VkQueueFamilyProperties& family = families[i];
    if ((family.queueFlags & VK_QUEUE_COMPUTE_BIT) == 0 || family.timestampValidBits == 0) continue;
    if (chosen && (family.queueFlags & VK_QUEUE_GRAPHICS_BIT) != 0) continue;
    chosen = i;
    timestamp_bits = family.timestampValidBits;
  }
  return chosen;
}

/// Multiprocessors or compute units; kUnknownProcessors where no extension reports them.
int n_processors(VkPhysicalDevice device, const std::vector<VkExtensionProperties>& extensions, bool is_software) {
  if (is_software) return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  auto properties = make<VkPhysicalDeviceProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2);
  if (has_extension(extensions, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) {
    auto nvidia = make<VkPhysicalDeviceShaderSMBuiltinsPropertiesNV>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV);
    properties.pNext = &nvidia;
    vkGetPhysicalDeviceProperties2(device, &properties);
    return std::max(1, static_cast<int>(nvidia.shaderSMCount));
  }
  if (has_extension(extensions, VK_AMD_SHADER_CORE_PROPERTIES_2_EXTENSION_NAME)) {
    auto amd =
        make<VkPhysicalDeviceShaderCoreProperties2AMD>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_2_AMD);
    properties.pNext = &amd;
    vkGetPhysicalDeviceProperties2(device, &properties);
    return std::max(1, static_cast<int>(amd.activeComputeUnitCount));
  }
  return kUnknownProcessors;
}

/// The largest heap of the device's own memory.
std::int64_t memory_bytes(VkPhysicalDevice device) {
  VkPhysicalDeviceMemoryProperties memory{};
  vkGetPhysicalDeviceMemoryProperties(device, &memory);
  VkDeviceSize largest = 0;
  for (std::uint32_t i = 0; i < memory.memoryHeapCount; ++i) {
    if ((memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0) {
      largest = std::max(largest, memory.memoryHeaps[i].size);
    }
  }
  return static_cast<std::int64_t>(largest);
}

Result<PhysicalDevice> describe(VkPhysicalDevice handle, const std::shared_ptr<const Instance>& instance) {
  PhysicalDevice device{.handle = handle, .instance = instance, .properties = {}};
  SS_TRY(const std::vector<VkExtensionProperties> extensions, enumerate<VkExtensionProperties>(
                                                                  [&](std::uint32_t* n, VkExtensionProperties* all) {
                                                                    return vkEnumerateDeviceExtensionProperties(
                                                                        handle, nullptr, n, all);
                                                                  },
                                                                  "vkEnumerateDeviceExtensionProperties"));
  auto subgroups = make<VkPhysicalDeviceSubgroupProperties>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES);
  auto driver = make<VkPhysicalDeviceDriverProperties>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES);
  auto third = make<VkPhysicalDeviceMaintenance3Properties>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES);
  auto all = make<VkPhysicalDeviceProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2);
  all.pNext = &subgroups;
  subgroups.pNext = &driver;
  driver.pNext = &third;
  vkGetPhysicalDeviceProperties2(handle, &all);
  const VkPhysicalDeviceProperties& raw = all.properties;
  device.is_software = raw.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
  device.ns_per_tick = static_cast<double>(raw.limits.timestampPeriod);
  device.has_memory_budget = has_extension(extensions, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  device.max_allocation_bytes = third.maxMemoryAllocationSize;
  device.max_grid_x = raw.limits.maxComputeWorkGroupCount[0];
  device.why_unfit = why_unfit(handle, raw, subgroups);
  const auto family = compute_family(handle, device.timestamp_bits);
  if (family) device.queue_family = *family;
  if (!family && device.why_unfit.empty()) device.why_unfit = "its driver lacks a queue for compute with timestamps";

  gpu::DeviceProperties& properties = device.properties;
  properties.name = raw.deviceName;
  properties.target = "vulkan";
  properties.warp_size = static_cast<int>(subgroups.subgroupSize);
  properties.n_processors = n_processors(handle, extensions, device.is_software);
  properties.max_shared_bytes = raw.limits.maxComputeSharedMemorySize;
  properties.memory_bytes = memory_bytes(handle);
  properties.fingerprint = {
      {"driver", fmt::format("{} {}", driver.driverName, driver.driverInfo)},
      {"vulkan", fmt::format("{}.{}.{}", VK_API_VERSION_MAJOR(raw.apiVersion), VK_API_VERSION_MINOR(raw.apiVersion),
                             VK_API_VERSION_PATCH(raw.apiVersion))},
      {"processors", std::to_string(properties.n_processors)}};
  use_matrices(device, find_matrices(instance->get(), handle, raw, subgroups.subgroupSize, extensions));
  return device;
}

}  // namespace

void use_matrices(PhysicalDevice& device, const CooperativeMatrices& matrices) {
  constexpr const char* kLine = "matrices";
  device.matrices = matrices;
  device.properties.has_matrix_units = matrices.exist();
  device.properties.has_f16_tiles = matrices.exist();
  std::erase_if(device.properties.fingerprint, [](const auto& line) { return line.first == kLine; });
  device.properties.fingerprint.emplace_back(kLine, to_text(matrices));
}

Result<std::vector<PhysicalDevice>> list_physical_devices() {
  SS_TRY(const std::shared_ptr<const Instance> instance, Instance::open());
  SS_TRY(const std::vector<VkPhysicalDevice> handles, enumerate<VkPhysicalDevice>(
                                                          [&](std::uint32_t* n, VkPhysicalDevice* all) {
                                                            return vkEnumeratePhysicalDevices(instance->get(), n, all);
                                                          },
                                                          "vkEnumeratePhysicalDevices"));
  std::vector<std::pair<int, PhysicalDevice>> devices;
  for (VkPhysicalDevice handle : handles) {
    VkPhysicalDeviceProperties raw{};
    vkGetPhysicalDeviceProperties(handle, &raw);
    SS_TRY(PhysicalDevice device, describe(handle, instance));
    devices.emplace_back(kind_order(raw.deviceType), std::move(device));
  }
  std::ranges::stable_sort(devices, {}, [](const auto& one) { return one.first; });
  std::vector<PhysicalDevice> sorted;
  for (auto& [order, device] : devices) {
    device.properties.id = std::to_string(sorted.size());
    sorted.push_back(std::move(device));
  }
  return sorted;
}

Result<std::vector<PhysicalDevice>> usable_devices() {
  SS_TRY(std::vector<PhysicalDevice> all, list_physical_devices());
  const char* const asked = std::getenv("SECONDSOURCE_VULKAN_SOFTWARE");
  const bool takes_software = asked != nullptr && std::string_view(asked) == "1";
  std::string reasons;
  std::vector<PhysicalDevice> usable;
  for (PhysicalDevice& device : all) {
    if (device.why_unfit.empty() && device.is_software && !takes_software) {
      device.why_unfit = "computes on the CPU, and is used only where SECONDSOURCE_VULKAN_SOFTWARE=1";
    }
    if (device.why_unfit.empty()) {
      usable.push_back(std::move(device));
    } else {
      reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", device.properties.name, device.why_unfit);
    }
  }
  if (!usable.empty()) return usable;
  return Error{ErrorCode::kUnavailable, reasons.empty() ? "the installed Vulkan drivers list no device" : reasons};
}

}  // namespace secondsource::vulkan
