#include "vulkan/vulkan_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <vulkan/vulkan.hpp>

namespace secondsource::vulkan {

std::string to_text(VkResult result) {
  return vk::to_string(static_cast<vk::Result>(result));
}

Result<void> check(VkResult result, const char* call) {
  if (result >= VK_SUCCESS) return {};
  const bool is_memory = result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY;
  return Error{is_memory ? ErrorCode::kOutOfMemory : ErrorCode::kDeviceLost,
               fmt::format("{}: {}", call, to_text(result))};
}

bool has_extension(const std::vector<VkExtensionProperties>& extensions, std::string_view name) {
  return std::ranges::any_of(extensions, [&](const auto& one) { return name == one.extensionName; });
}

Result<std::shared_ptr<const Instance>> Instance::open() {
  auto application = make<VkApplicationInfo>(VK_STRUCTURE_TYPE_APPLICATION_INFO);
  application.pApplicationName = "secondsource";
  application.apiVersion =
      VK_API_VERSION_1_3;  // the newest of which anything is used: full subgroups, if a device has matrices
  auto info = make<VkInstanceCreateInfo>(VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
  info.pApplicationInfo = &application;
  VkInstance handle = VK_NULL_HANDLE;
  if (const VkResult result = vkCreateInstance(&info, nullptr, &handle); result != VK_SUCCESS) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("the Vulkan loader found no driver (vkCreateInstance: {})", to_text(result))};
  }
  return std::shared_ptr<const Instance>(std::make_shared<Instance>(handle));
}

}  // namespace secondsource::vulkan
