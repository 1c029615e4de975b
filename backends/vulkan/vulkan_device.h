#pragma once
// A GPU through Vulkan.

#include <memory>

#include "vulkan/physical_devices.h"

namespace secondsource::vulkan {

/// Errors: kDeviceLost, kOutOfMemory.
[[nodiscard]] Result<std::unique_ptr<gpu::Device>> open_device(const PhysicalDevice& physical);

}  // namespace secondsource::vulkan
