#include "gpu/runtime/tensor_map.h"

#include <cuda.h>
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "gpu/runtime/api.h"

namespace secondsource::gpu::runtime {
namespace {

static_assert(sizeof(CUtensorMap) == sizeof(TensorMap) && alignof(CUtensorMap) <= kTensorMapAlignment);

using Encode = decltype(cuTensorMapEncodeTiled)*;

/// The address of the driver's function.
Result<void*> find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  constexpr unsigned kFirstVersion = 12000;  // that has the function
  SS_RUNTIME_TRY(
      GetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, kFirstVersion, cudaEnableDefault, &found));
#else
  SS_RUNTIME_TRY(GetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found));
#endif
  if (found == cudaDriverEntryPointSuccess && function != nullptr) return function;
  return Error{ErrorCode::kUnavailable, "this driver has no cuTensorMapEncodeTiled: expected one of CUDA 12 or newer"};
}

}  // namespace

Result<TensorMap> encode_tensor_map(const TiledMatrix& matrix) {
  SS_TRY(void* const function, find_encode());
  const auto encode = reinterpret_cast<Encode>(function);
  // The dimension of neighbouring values comes first.
  const std::array<cuuint64_t, 2> extents = {static_cast<cuuint64_t>(matrix.n_cols),
                                             static_cast<cuuint64_t>(matrix.n_rows)};
  const std::array<cuuint64_t, 1> row_bytes = {static_cast<cuuint64_t>(matrix.row_bytes)};
  const std::array<cuuint32_t, 2> tile = {static_cast<cuuint32_t>(kTensorLineBytes / matrix.value_bytes),
                                          static_cast<cuuint32_t>(matrix.tile_rows)};
  const std::array<cuuint32_t, 2> value_strides = {1, 1};
  alignas(kTensorMapAlignment) CUtensorMap map{};
  const CUresult status =
      encode(&map, matrix.value_bytes == 1 ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
             static_cast<cuuint32_t>(extents.size()), const_cast<void*>(matrix.values), extents.data(),
             row_bytes.data(), tile.data(), value_strides.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    return Error{
        ErrorCode::kInternal,
        fmt::format("cuTensorMapEncodeTiled: status {} for [{}, {}] values of {} bytes, {} from row to row, in "
                    "tiles of {} rows",
                    static_cast<int>(status), matrix.n_rows, matrix.n_cols, matrix.value_bytes, matrix.row_bytes,
                    matrix.tile_rows)};
  }
  TensorMap result;
  std::memcpy(result.word, &map, sizeof(result.word));
  return result;
}

}  // namespace secondsource::gpu::runtime
