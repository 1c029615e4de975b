#pragma once
// Memory between the operations of a step: packed activations and each thread's own space. Sized when a step is
// compiled, shared by all steps, never allocated while one runs.

#include <cstddef>
#include <span>

#include "backend_kit/host_memory.h"

namespace secondsource::cpu {

/// What the operations of one graph need, in bytes.
struct ScratchNeed {
  std::size_t activations = 0;  ///< packed activations of one matmul, its row scales before them
  std::size_t partials = 0;     ///< attention split over the cache: each part's maximum, sum and output
  std::size_t rotations = 0;    ///< cos and sin of each token's angles
  std::size_t per_thread = 0;
};

class Scratch {
 public:
  Scratch(MemoryAccount& account, int n_threads) : account_(&account), n_threads_(n_threads) {}

  /// Grows to `need`; earlier pointers are invalid. Errors: kOutOfMemory.
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

/// Cuts 64-byte aligned arrays from a thread's scratch, one after the other.
class ScratchCutter {
 public:
  explicit ScratchCutter(std::span<std::byte> bytes) : bytes_(bytes) {}
  template <typename T>
  std::span<T> take(std::size_t count) {
    const std::span<std::byte> piece = take_bytes(count * sizeof(T));
    return {reinterpret_cast<T*>(piece.data()), count};
  }
  /// What take<T>(count) uses up.
  template <typename T>
  [[nodiscard]] static constexpr std::size_t size_of_piece(std::size_t count) {
    return (count * sizeof(T) + 63) / 64 * 64;
  }

 private:
  std::span<std::byte> take_bytes(std::size_t n);
  std::span<std::byte> bytes_;
};

}  // namespace secondsource::cpu
