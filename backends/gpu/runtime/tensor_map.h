#pragma once
// Maps of matrices for CUDA's copies of tiles. The driver makes the maps. For CUDA modules only.

#include "core/result.h"
#include "gpu/tensor_map.h"

namespace secondsource::gpu::runtime {

/// The driver's function is found at run time, so that the module does not need the driver to be loaded. Errors: kUnavailable where the
/// driver has none, kInternal where it refuses the matrix.
[[nodiscard]] Result<TensorMap> encode_tensor_map(const TiledMatrix& matrix);

}  // namespace secondsource::gpu::runtime
