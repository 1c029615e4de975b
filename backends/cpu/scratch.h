#pragma once
// Scratch memory for single operations: packed activations and each thread's own space. It is sized when a step is compiled, shared by all
// steps and by all operations (which run one after the other), and never allocated while a step runs.

#include <cstddef>
#include <span>

#include "backend_kit/host_memory.h"

namespace secondsource::cpu {

/// What one operation, or all operations of a graph, need, in bytes.
struct ScratchNeed {
  std::size_t activations = 0;  ///< row scales and packed activations of one matmul
  std::size_t partials = 0;     ///< softmax states of attention split over the cache; outputs of routed rows
  std::size_t rotations = 0;    ///< cos and sin of each token's angles
  std::size_t per_thread = 0;
};

/// The larger of the two, member by member.
[[nodiscard]] ScratchNeed larger(const ScratchNeed& a, const ScratchNeed& b);

class Scratch {
 public:
  Scratch(MemoryAccount& account, int n_threads) : account_(&account), n_threads_(n_threads) {}

  /// Grows to `need`. Pointers into the memory become invalid. Errors: kOutOfMemory.
  Result<void> reserve(const ScratchNeed& need);

  [[nodiscard]] std::span<std::byte> activations() const { return activations_.as<std::byte>(); }
  [[nodiscard]] std::span<float> partials() const { return partials_.as<float>(); }
  [[nodiscard]] std::span<float> rotations() const { return rotations_.as<float>(); }
  /// Aligned to 64 bytes.
  [[nodiscard]] std::span<std::byte> of_thread(int thread) const;

 private:
  MemoryAccount* account_;
  int n_threads_;
  ScratchNeed have_;
  HostBuffer activations_;
  HostBuffer partials_;
  HostBuffer rotations_;
  HostBuffer threads_;
};

/// Cuts 64-byte aligned arrays from a thread's scratch memory, one after the other.
class ScratchCutter {
 public:
  explicit ScratchCutter(std::span<std::byte> bytes) : bytes_(bytes) {}
  template <typename T>
  std::span<T> take(std::size_t count) {
    const std::span<std::byte> taken = take_bytes(count * sizeof(T));
    return {reinterpret_cast<T*>(taken.data()), count};
  }
  /// The bytes that take<T>(count) uses.
  template <typename T>
  [[nodiscard]] static constexpr std::size_t bytes_for(std::size_t count) {
    return (count * sizeof(T) + 63) / 64 * 64;
  }

 private:
  std::span<std::byte> take_bytes(std::size_t n);
  std::span<std::byte> bytes_;
};

}  // namespace secondsource::cpu
