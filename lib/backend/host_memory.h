#pragma once
// Memory of a host backend: aligned, zeroed, counted by purpose, so that MemoryUse is what was really allocated.
//
//   MemoryAccount account;                                              // one a backend, outlives its buffers
//   SS_TRY(HostBuffer buffer, HostBuffer::allocate(account, MemoryPurpose::kWeights, bytes));
//   std::span<float> floats = buffer.as<float>();

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "backend/backend.h"
#include "core/result.h"

namespace secondsource {

enum class MemoryPurpose : std::uint8_t { kWeights, kKv, kWorkspace, kRuntime };

/// Bytes by purpose, now and peak. Safe to read from another thread.
class MemoryAccount {
 public:
  void add(MemoryPurpose purpose, std::int64_t bytes);
  void remove(MemoryPurpose purpose, std::int64_t bytes);
  [[nodiscard]] MemoryUse use() const;

 private:
  std::array<std::atomic<std::int64_t>, 4> bytes_{};
  std::atomic<std::int64_t> total_{0};
  std::atomic<std::int64_t> peak_{0};
};

/// A huge page of x86-64, and of arm64 with 4 KiB pages.
inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

/// Bytes in transparent huge pages, of the mappings that lie in `range`: `smaps` is what /proc/self/smaps says. One
/// that only begins or ends there does not count.
[[nodiscard]] std::int64_t huge_page_bytes(std::string_view smaps, std::span<const std::byte> range);

/// Should the kernel back the buffer with huge pages (madvise)? A hint: weights and KV of large models gain from it.
enum class HugePages : std::uint8_t { kNo, kAdvise };

/// Zeroed memory, aligned to 64 bytes at least, returned at the end of its life.
class HostBuffer {
 public:
  HostBuffer() = default;
  /// Mapped memory is only reserved until it is touched. `account` must outlive the buffer. Errors: kOutOfMemory.
  static Result<HostBuffer> allocate(MemoryAccount& account, MemoryPurpose purpose, std::size_t bytes,
                                     HugePages huge_pages = HugePages::kNo);
  ~HostBuffer();
  HostBuffer(HostBuffer&& other) noexcept;
  HostBuffer& operator=(HostBuffer&& other) noexcept;

  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  /// The bytes as elements of T; a remainder smaller than one element is left out.
  template <typename T>
  [[nodiscard]] std::span<T> as() const noexcept {
    return {reinterpret_cast<T*>(data_), size_bytes_ / sizeof(T)};
  }

 private:
  MemoryAccount* account_ = nullptr;
  MemoryPurpose purpose_ = MemoryPurpose::kRuntime;
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
  std::size_t mapped_bytes_ = 0;
};

}  // namespace secondsource
