#pragma once
// Device memory of the backend. Every allocation is owned by a DeviceBuffer and counted by purpose. The runtime's share
// (context, kernels, graphs, libraries, rounding of allocations) is what the driver reports for the process beyond that,
// so that MemoryUse adds up to what the process really holds.

#include <utility>

#include "backend_kit/host_memory.h"
#include "gpu/device.h"

namespace secondsource::gpu {

/// Owns device memory, or pinned host memory.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  /// Content is undefined. `device` and `account` must outlive the buffer.
  static Result<DeviceBuffer> allocate(Device& device, MemoryAccount& account, MemoryPurpose purpose,
                                       std::size_t bytes);
  /// Pinned host memory, which is not counted.
  static Result<DeviceBuffer> allocate_pinned(Device& device, std::size_t bytes);
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    DeviceBuffer taken(std::move(other));
    swap(taken);
    return *this;
  }

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t size_bytes() const { return size_bytes_; }
  template <typename T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  void swap(DeviceBuffer& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(account_, other.account_);
    std::swap(purpose_, other.purpose_);
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
  }

  Device* device_ = nullptr;
  MemoryAccount* account_ = nullptr;  ///< null: pinned
  MemoryPurpose purpose_ = MemoryPurpose::kWorkspace;
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

/// A device with its one stream and its memory account. The copies here block until they are done; they are for
/// preparation and tests.
class DeviceMemory {
 public:
  static Result<std::unique_ptr<DeviceMemory>> create(std::unique_ptr<Device> device);

  [[nodiscard]] Device& device() { return *device_; }
  [[nodiscard]] Stream& stream() { return *stream_; }
  [[nodiscard]] MemoryAccount& account() { return account_; }
  /// Updates the runtime's share from the driver: kernels are loaded, graphs captured and libraries initialised long after
  /// the context was created.
  void count_runtime();
  Result<DeviceBuffer> allocate(MemoryPurpose purpose, std::size_t bytes);
  /// Copies through pinned memory, 4 MiB at a time.
  Result<void> upload(void* to, const void* from, std::size_t bytes);
  Result<void> download(void* to, const void* from, std::size_t bytes);

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stream> stream_;
  MemoryAccount account_;
  DeviceBuffer staging_;
};

}  // namespace secondsource::gpu
