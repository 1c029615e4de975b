#pragma once
// The devices that the installed Vulkan drivers offer, and whether this backend can use them.

#include <memory>
#include <string>
#include <vector>

#include "gpu/device.h"
#include "vulkan/cooperative_matrices.h"
#include "vulkan/vulkan_api.h"

namespace secondsource::vulkan {

struct PhysicalDevice {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  std::shared_ptr<const Instance> instance = {};
  gpu::DeviceProperties properties;
  std::uint32_t queue_family = 0;    ///< a family with compute; one that also has graphics only if there is no other
  std::uint32_t timestamp_bits = 0;  ///< valid bits of the queue's timestamps
  double ns_per_tick = 1;            ///< of timestamps
  bool has_memory_budget = false;    ///< VK_EXT_memory_budget: the driver tells how much this process holds
  bool is_software = false;          ///< a driver that computes on the CPU
  std::string why_unfit = {};        ///< what the backend needs and this device lacks; empty: it is usable
  CooperativeMatrices matrices = {};
  VkDeviceSize max_allocation_bytes = 0;
  std::uint32_t max_grid_x = 0;
};

/// Makes these the matrices that products use on this device. Without any, all products use f32 multiply-adds.
void use_matrices(PhysicalDevice& device, const CooperativeMatrices& matrices);

/// All devices, those with memory of their own first, then integrated ones, then drivers that compute on the CPU; their ids are
/// their places in this list. Errors: kUnavailable if there is no driver.
[[nodiscard]] Result<std::vector<PhysicalDevice>> list_physical_devices();

/// The usable devices of that list. Drivers that compute on the CPU are among them only if the environment variable
/// SECONDSOURCE_VULKAN_SOFTWARE is 1: their speed says nothing about a GPU. Errors: kUnavailable, with the reason for each device that
/// was left out.
[[nodiscard]] Result<std::vector<PhysicalDevice>> usable_devices();

}  // namespace secondsource::vulkan
