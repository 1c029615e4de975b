#pragma once
// Matrices whose tiles a GPU copies to shared memory by itself, at the request of one thread: NVIDIA's tensor memory accelerator (CUDA
// C++ Programming Guide, "Tensor Memory Access"). A Device makes the map of a matrix, and kernels pass it on (portable/tensor_copy.h).

#include <cstddef>
#include <cstdint>

namespace secondsource::gpu {

/// Bytes of a row in a tile. In shared memory its vectors of 16 bytes are in the places of swizzled_offset() (portable/warpgroup.h).
inline constexpr std::int32_t kTensorLineBytes = 128;
/// The most rows of a tile.
inline constexpr std::int32_t kMostTensorRows = 256;

/// A row-major matrix in device memory, and its tiles of tile_rows rows by kTensorLineBytes. What lies outside of the matrix is copied as
/// zeros.
struct TiledMatrix {
  const void* values = nullptr;  ///< a multiple of 16
  std::int32_t value_bytes = 2;  ///< 2: BF16; 1: int8
  std::int32_t n_rows = 0;
  std::int32_t n_cols = 0;
  std::int64_t row_bytes = 0;  ///< from one row to the next, a multiple of 16
  std::int32_t tile_rows = 0;
};

/// A matrix as the device's copies take it. Its content is the device's own; for NVIDIA it is a CUtensorMap. It goes to a kernel as part of
/// the kernel's argument, there aligned to kTensorMapAlignment.
struct TensorMap {
  std::uint64_t word[16] = {};
};
inline constexpr std::size_t kTensorMapAlignment = 128;

}  // namespace secondsource::gpu
