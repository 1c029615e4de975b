#pragma once
// Vulkan's C interface with this project's errors, and owners of its handles.

#include <vulkan/vulkan.h>

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/result.h"

namespace secondsource::vulkan {

/// The name of a result, "ErrorDeviceLost".
[[nodiscard]] std::string to_text(VkResult result);

/// Converts a result. Errors: kOutOfMemory for a failed allocation, else kDeviceLost; with the call and the result's name.
[[nodiscard]] Result<void> check(VkResult result, const char* call);

/// An extensible structure of Vulkan with its type set, and zeros in all other members.
template <typename Struct>
[[nodiscard]] Struct make(VkStructureType type) {
  Struct made{};
  made.sType = type;
  return made;
}

/// Whether an extension is among these.
[[nodiscard]] bool has_extension(const std::vector<VkExtensionProperties>& extensions, std::string_view name);

/// All elements that a function of the kind vkEnumerate... reports.
template <typename Element, typename Enumerate>
Result<std::vector<Element>> enumerate(const Enumerate& call, const char* name) {
  std::uint32_t n = 0;
  SS_TRY_VOID(check(call(&n, nullptr), name));
  std::vector<Element> elements(n);
  if (n > 0) SS_TRY_VOID(check(call(&n, elements.data()), name));
  elements.resize(n);
  return elements;
}

/// Owns a handle that belongs to a VkDevice, which must outlive it.
template <typename Handle, void (*kDestroy)(VkDevice, Handle, const VkAllocationCallbacks*)>
class Owned {
 public:
  Owned() = default;
  Owned(VkDevice device, Handle handle) : device_(device), handle_(handle) {}
  ~Owned() {
    if (handle_ != VK_NULL_HANDLE) kDestroy(device_, handle_, nullptr);
  }
  Owned(Owned&& other) noexcept : device_(other.device_), handle_(std::exchange(other.handle_, VK_NULL_HANDLE)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  [[nodiscard]] Handle get() const { return handle_; }

 private:
  VkDevice device_ = VK_NULL_HANDLE;
  Handle handle_ = VK_NULL_HANDLE;
};

using OwnedBuffer = Owned<VkBuffer, vkDestroyBuffer>;
using OwnedMemory = Owned<VkDeviceMemory, vkFreeMemory>;
using OwnedPipeline = Owned<VkPipeline, vkDestroyPipeline>;
using OwnedPipelineLayout = Owned<VkPipelineLayout, vkDestroyPipelineLayout>;
using OwnedShaderModule = Owned<VkShaderModule, vkDestroyShaderModule>;
using OwnedCommandPool = Owned<VkCommandPool, vkDestroyCommandPool>;
using OwnedSemaphore = Owned<VkSemaphore, vkDestroySemaphore>;
using OwnedQueryPool = Owned<VkQueryPool, vkDestroyQueryPool>;

/// Creates an owned handle: created<OwnedSemaphore, VkSemaphore>(device, vkCreateSemaphore, info, "vkCreateSemaphore").
template <typename OwnedHandle, typename Handle, typename Info>
Result<OwnedHandle> created(VkDevice device,
                            VkResult (*create)(VkDevice, const Info*, const VkAllocationCallbacks*, Handle*),
                            const Info& info, const char* name) {
  Handle handle = VK_NULL_HANDLE;
  SS_TRY_VOID(check(create(device, &info, nullptr, &handle), name));
  return OwnedHandle(device, handle);
}

/// The loader's connection to the installed drivers.
class Instance {
 public:
  /// Errors: kUnavailable if the loader finds no driver.
  static Result<std::shared_ptr<const Instance>> open();
  explicit Instance(VkInstance handle) : handle_(handle) {}
  ~Instance() { vkDestroyInstance(handle_, nullptr); }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  [[nodiscard]] VkInstance get() const { return handle_; }

 private:
  VkInstance handle_;
};

}  // namespace secondsource::vulkan
