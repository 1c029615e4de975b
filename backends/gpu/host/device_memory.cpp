#include "gpu/host/device_memory.h"

#include <algorithm>
#include <cstring>

namespace secondsource::gpu {
namespace {

constexpr std::size_t kStagingBytes = std::size_t{4} << 20;

}  // namespace

Result<DeviceBuffer> DeviceBuffer::allocate(Device& device, MemoryAccount& account, MemoryPurpose purpose,
                                            std::size_t bytes) {
  DeviceBuffer buffer;
  if (bytes == 0) return buffer;
  SS_TRY(void* const data, device.allocate(bytes));
  buffer.device_ = &device;
  buffer.account_ = &account;
  buffer.purpose_ = purpose;
  buffer.data_ = static_cast<std::byte*>(data);
  buffer.size_bytes_ = bytes;
  account.add(purpose, static_cast<std::int64_t>(bytes));
  return buffer;
}

Result<DeviceBuffer> DeviceBuffer::allocate_pinned(Device& device, std::size_t bytes) {
  DeviceBuffer buffer;
  if (bytes == 0) return buffer;
  SS_TRY(void* const data, device.allocate_pinned(bytes));
  buffer.device_ = &device;
  buffer.data_ = static_cast<std::byte*>(data);
  buffer.size_bytes_ = bytes;
  return buffer;
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ == nullptr) return;
  if (account_ == nullptr) {
    device_->free_pinned(data_);
    return;
  }
  device_->free(data_);
  account_->remove(purpose_, static_cast<std::int64_t>(size_bytes_));
}

Result<std::unique_ptr<DeviceMemory>> DeviceMemory::create(std::unique_ptr<Device> device) {
  auto memory = std::make_unique<DeviceMemory>();
  memory->device_ = std::move(device);
  SS_TRY(memory->stream_, memory->device_->create_stream());
  SS_TRY(memory->staging_, DeviceBuffer::allocate_pinned(*memory->device_, kStagingBytes));
  memory->count_runtime();
  return memory;
}

void DeviceMemory::count_runtime() {
  const std::optional<std::int64_t> held = device_->process_bytes();
  if (!held) return;
  const MemoryUse use = account_.use();
  const std::int64_t runtime = std::max<std::int64_t>(0, *held - (use.total_bytes() - use.runtime_bytes));
  account_.add(MemoryPurpose::kRuntime, runtime - use.runtime_bytes);
}

Result<DeviceBuffer> DeviceMemory::allocate(MemoryPurpose purpose, std::size_t bytes) {
  return DeviceBuffer::allocate(*device_, account_, purpose, bytes);
}

Result<void> DeviceMemory::upload(void* to, const void* from, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += kStagingBytes) {
    const std::size_t n = std::min(kStagingBytes, bytes - at);
    std::memcpy(staging_.data(), static_cast<const std::byte*>(from) + at, n);
    SS_TRY_VOID(stream_->copy(static_cast<std::byte*>(to) + at, staging_.data(), n));
    SS_TRY_VOID(stream_->synchronize());
  }
  return {};
}

Result<void> DeviceMemory::download(void* to, const void* from, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += kStagingBytes) {
    const std::size_t n = std::min(kStagingBytes, bytes - at);
    SS_TRY_VOID(stream_->copy(staging_.data(), static_cast<const std::byte*>(from) + at, n));
    SS_TRY_VOID(stream_->synchronize());
    std::memcpy(static_cast<std::byte*>(to) + at, staging_.data(), n);
  }
  return {};
}

}  // namespace secondsource::gpu
