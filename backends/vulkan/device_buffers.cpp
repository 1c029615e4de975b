#include "vulkan/device_buffers.h"

#include <fmt/format.h>

#include <array>
#include <optional>

#include "core/check.h"
#include "core/checked.h"

namespace secondsource::vulkan {
namespace {

constexpr VkDeviceSize kAlignment = 256;

/// Properties of memory to look for, the best first.
std::span<const VkMemoryPropertyFlags> wanted_properties(MemoryKind kind) {
  constexpr VkMemoryPropertyFlags kMapped = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  static constexpr std::array<VkMemoryPropertyFlags, 2> kDevice = {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0};
  static constexpr std::array<VkMemoryPropertyFlags, 2> kPinned = {kMapped | VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
                                                                   kMapped};
  static constexpr std::array<VkMemoryPropertyFlags, 2> kParameters = {kMapped | VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                                                                       kMapped};
  return kind == MemoryKind::kDevice ? kDevice : kind == MemoryKind::kPinned ? kPinned : kParameters;
}

}  // namespace

DeviceBuffers::DeviceBuffers(VkPhysicalDevice physical, VkDevice device, VkDeviceSize max_allocation_bytes)
    : device_(device), max_allocation_bytes_(max_allocation_bytes) {
  vkGetPhysicalDeviceMemoryProperties(physical, &properties_);
}

std::optional<std::uint32_t> DeviceBuffers::memory_type(std::uint32_t allowed, MemoryKind kind) const {
  for (const VkMemoryPropertyFlags wanted : wanted_properties(kind)) {
    for (std::uint32_t i = 0; i < properties_.memoryTypeCount; ++i) {
      if ((allowed >> i & 1U) != 0 && (properties_.memoryTypes[i].propertyFlags & wanted) == wanted) return i;
    }
  }
  return std::nullopt;
}

Result<DeviceBuffer> DeviceBuffers::create(VkDeviceSize bytes, MemoryKind kind) const {
  DeviceBuffer made;
  made.bytes = round_up(bytes, kAlignment);
  if (made.bytes > max_allocation_bytes_) {
    return Error{ErrorCode::kOutOfMemory,
                 fmt::format("{} bytes at once, of which the Vulkan driver allows {}", bytes, max_allocation_bytes_)};
  }
  auto buffer_info = make<VkBufferCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
  buffer_info.size = made.bytes;
  buffer_info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                      VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  SS_TRY(made.buffer, created<OwnedBuffer>(device_, vkCreateBuffer, buffer_info, "vkCreateBuffer"));
  VkMemoryRequirements needs{};
  vkGetBufferMemoryRequirements(device_, made.buffer.get(), &needs);
  const auto type = memory_type(needs.memoryTypeBits, kind);
  if (!type) return Error{ErrorCode::kOutOfMemory, "the Vulkan device has no memory of the kind that is needed"};
  auto flags = make<VkMemoryAllocateFlagsInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO);
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  auto info = make<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
  info.pNext = &flags;
  info.allocationSize = needs.size;
  info.memoryTypeIndex = *type;
  SS_TRY(made.memory, created<OwnedMemory>(device_, vkAllocateMemory, info, "vkAllocateMemory"));
  SS_TRY_VOID(check(vkBindBufferMemory(device_, made.buffer.get(), made.memory.get(), 0), "vkBindBufferMemory"));
  auto address_info = make<VkBufferDeviceAddressInfo>(VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO);
  address_info.buffer = made.buffer.get();
  made.device_address = vkGetBufferDeviceAddress(device_, &address_info);
  if (kind != MemoryKind::kDevice) {
    void* mapped = nullptr;
    SS_TRY_VOID(check(vkMapMemory(device_, made.memory.get(), 0, VK_WHOLE_SIZE, 0, &mapped), "vkMapMemory"));
    made.mapped = static_cast<std::byte*>(mapped);
  }
  return made;
}

Result<void*> DeviceBuffers::allocate(std::size_t bytes, MemoryKind kind) {
  SS_TRY(DeviceBuffer made, create(bytes, kind));
  const std::uint64_t address =
      kind == MemoryKind::kDevice ? made.device_address : reinterpret_cast<std::uintptr_t>(made.mapped);
  // Host and device addresses come from different address spaces, so that they could overlap in this map.
  const auto after = buffers_.lower_bound(address);
  const bool meets_next = after != buffers_.end() && after->first < address + made.bytes;
  const bool meets_last =
      after != buffers_.begin() && std::prev(after)->first + std::prev(after)->second.bytes > address;
  if (meets_next || meets_last) {
    return Error{ErrorCode::kOutOfMemory, "the Vulkan driver gave two allocations the same address"};
  }
  buffers_.emplace(address, std::move(made));
  return reinterpret_cast<void*>(address);
}

void DeviceBuffers::free(void* address) {
  if (address == nullptr) return;
  const std::size_t n_erased = buffers_.erase(reinterpret_cast<std::uintptr_t>(address));
  SS_CHECK(n_erased == 1, "memory that was not allocated here, or freed twice");
}

Result<DeviceBuffers::Place> DeviceBuffers::find(const void* address, std::size_t bytes) const {
  const auto at = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(address));
  auto found = buffers_.upper_bound(at);
  if (found != buffers_.begin()) {
    --found;
    const VkDeviceSize offset = at - found->first;
    if (offset <= found->second.bytes && bytes <= found->second.bytes - offset) {
      return Place{.buffer = found->second.buffer.get(), .offset = offset};
    }
  }
  return Error{ErrorCode::kInternal, fmt::format("{} bytes at {:#x} are not in one allocation", bytes, at)};
}

}  // namespace secondsource::vulkan
