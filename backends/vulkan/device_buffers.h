#pragma once
// Memory of a Vulkan device. Outside of this folder memory is named by addresses: device memory by those that kernels use
// (bufferDeviceAddress), pinned memory by where it is mapped. Copies need the buffer that an address lies in, which find() returns.

#include <map>
#include <span>

#include "vulkan/vulkan_api.h"

namespace secondsource::vulkan {

enum class MemoryKind : std::uint8_t {
  kDevice,      ///< fast for kernels; its address is the device's
  kPinned,      ///< mapped, cached by the host where the device has such memory; its address is the host's
  kParameters,  ///< mapped, in the device's own memory where possible; read by kernels
};

/// A buffer with memory of its own.
struct DeviceBuffer {
  OwnedBuffer buffer;  // declared first, so that it is destroyed after the memory
  OwnedMemory memory;
  VkDeviceSize bytes = 0;
  VkDeviceAddress device_address = 0;
  std::byte* mapped = nullptr;  ///< null for kDevice
};

class DeviceBuffers {
 public:
  DeviceBuffers(VkPhysicalDevice physical, VkDevice device, VkDeviceSize max_allocation_bytes);

  /// A buffer of its own, which find() does not know. Errors: kOutOfMemory.
  [[nodiscard]] Result<DeviceBuffer> create(VkDeviceSize bytes, MemoryKind kind) const;
  /// Memory of kDevice or kPinned by its address, a multiple of 256. Errors: kOutOfMemory.
  Result<void*> allocate(std::size_t bytes, MemoryKind kind);
  /// `address`: one that allocate() returned, or null.
  void free(void* address);

  struct Place {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceSize offset = 0;
  };
  /// The buffer with these bytes. Errors: kInternal if no allocation has all of them.
  [[nodiscard]] Result<Place> find(const void* address, std::size_t bytes) const;

 private:
  [[nodiscard]] std::optional<std::uint32_t> memory_type(std::uint32_t allowed, MemoryKind kind) const;

  VkDevice device_;
  VkDeviceSize max_allocation_bytes_;
  VkPhysicalDeviceMemoryProperties properties_{};
  std::map<std::uint64_t, DeviceBuffer> buffers_;  ///< by address
};

}  // namespace secondsource::vulkan
