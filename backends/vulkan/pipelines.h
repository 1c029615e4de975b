#pragma once
// The compute pipelines of a device: a kernel with the values of its specialization constants, made when it is first launched.

#include <map>
#include <utility>

#include "vulkan/kernel.h"
#include "vulkan/vulkan_api.h"

namespace secondsource::vulkan {

class Pipelines {
 public:
  /// Errors: kOutOfMemory, kDeviceLost.
  static Result<Pipelines> create(VkDevice device);

  /// `name`: for messages. Errors: kDeviceLost if the driver cannot compile the kernel.
  Result<VkPipeline> find(const Kernel& kernel, const char* name);
  /// The one layout: no descriptors, and a push constant that is the address of the kernel's parameters.
  [[nodiscard]] VkPipelineLayout layout() const { return layout_.get(); }

 private:
  /// A kernel's code is a constant of the program, so that its address identifies it.
  using Key = std::pair<const std::uint32_t*, std::array<std::uint32_t, Kernel::kMaxConstants>>;

  VkDevice device_ = VK_NULL_HANDLE;
  OwnedPipelineLayout layout_;
  std::map<Key, OwnedPipeline> pipelines_;
};

}  // namespace secondsource::vulkan
