#pragma once
// The backend's device memory: every byte that it asks for is owned by a DeviceBuffer and counted by purpose. What the
// driver says that the process holds beyond that is the runtime's: context, kernels, graphs, libraries, and what
// allocations are rounded up by. So MemoryUse adds up to what the process really holds.

#include <span>
#include <utility>

#include "backend_kit/host_memory.h"
#include "gpu/device.h"

namespace secondsource::gpu {

/// Memory of a device, or pinned memory of the host, given back at the end of its life.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  /// Content is undefined. `device` and `account` must outlive the buffer.
  static Result<DeviceBuffer> allocate(Device& device, MemoryAccount& account, MemoryPurpose purpose,
                                       std::size_t bytes);
  /// Not counted: it is the host's.
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

/// A device, its one stream, and what is counted on it. Copies here wait for the device: for preparing and for tests.
class DeviceMemory {
 public:
  static Result<std::unique_ptr<DeviceMemory>> create(std::unique_ptr<Device> device);

  [[nodiscard]] Device& device() { return *device_; }
  [[nodiscard]] Stream& stream() { return *stream_; }
  [[nodiscard]] MemoryAccount& account() { return account_; }
  /// Asks the driver what the runtime holds now, and counts that: kernels are loaded, graphs captured and libraries set
  /// up long after the context was made.
  void count_runtime();
  Result<DeviceBuffer> allocate(MemoryPurpose purpose, std::size_t bytes);
  /// Through pinned memory, in pieces.
  Result<void> upload(void* to, const void* from, std::size_t bytes);
  /// Rows that lie one after the other in `from` to rows `to_stride` bytes apart. A row is at most 4 MiB.
  Result<void> upload_rows(std::byte* to, std::size_t to_stride, std::span<const std::byte> from,
                           std::size_t row_bytes);
  Result<void> download(void* to, const void* from, std::size_t bytes);

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stream> stream_;
  MemoryAccount account_;
  DeviceBuffer staging_;
};

}  // namespace secondsource::gpu
