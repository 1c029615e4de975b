#pragma once
// Memory of a host backend: aligned, zeroed and counted by purpose, so that MemoryUse is the memory that was really
// allocated.
//
//   MemoryAccount account;                                              // one per backend, outlives its buffers
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

/// Bytes by purpose, current and peak. May be read from another thread.
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

/// The size of a huge page on x86-64, and on arm64 with 4 KiB pages.
inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

/// The bytes in transparent huge pages in those mappings that lie completely inside `range`. `smaps` is the content of
/// /proc/self/smaps.
[[nodiscard]] std::int64_t huge_page_bytes(std::string_view smaps, std::span<const std::byte> range);

/// Whether to ask the kernel to back the buffer with huge pages (madvise). This is a hint; weights and KV caches of
/// large models benefit from it.
enum class HugePages : std::uint8_t { kNo, kAdvise };

/// Zeroed memory, aligned to at least 64 bytes and freed by the destructor.
class HostBuffer {
 public:
  HostBuffer() = default;
  /// Pages are only reserved until they are touched. `account` must outlive the buffer. Errors: kOutOfMemory.
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
