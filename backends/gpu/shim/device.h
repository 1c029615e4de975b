#pragma once
// A Device whose kernels run on the CPU, for proof and not for speed. Allocations are fenced: an access past the end of
// one, or to one that was freed, ends the process at once. Queued work runs only when the host asks whether it is done,
// so a host that changes a buffer too early gets wrong numbers, as it would on a GPU.

#include <map>
#include <memory>

#include "gpu/device.h"
#include "gpu/shim/block_runner.h"

namespace secondsource::gpu::shim {

struct ShimOptions {
  std::string target = "sm_80";  ///< sm_80, sm_90a, gfx90a, gfx942 or gfx1100
  ThreadOrder order = ThreadOrder::kForward;
  std::uint64_t seed = 1;  ///< for kSeeded
  int n_processors = 2;    ///< reported by the device; matrix products are divided into blocks by it
  int n_threads = 1;       ///< blocks of a kernel that run concurrently
};

/// The allocations of the shim's device, found by address.
class ShimMemory {
 public:
  enum class Kind : std::uint8_t { kDevice, kPinned };
  Result<void*> allocate(std::size_t bytes, Kind kind);
  void free(void* memory);
  ~ShimMemory();
  /// True if the address is in live device memory.
  [[nodiscard]] bool is_on_device(const void* address) const;
  /// Serial number of the live allocation that contains the address; 0: none. Serial numbers are never reused.
  [[nodiscard]] std::uint64_t owner(std::uintptr_t address) const;

 private:
  struct Block {
    Kind kind = Kind::kDevice;
    std::size_t bytes = 0;
    void* mapping = nullptr;
    std::size_t mapped_bytes = 0;
    std::uint64_t serial = 0;
  };
  [[nodiscard]] const Block* find(std::uintptr_t address) const;
  std::map<std::uintptr_t, Block> blocks_;  ///< by address
  std::uint64_t n_allocated_ = 0;
};

[[nodiscard]] std::unique_ptr<Device> make_shim_device(const ShimOptions& options);

}  // namespace secondsource::gpu::shim
