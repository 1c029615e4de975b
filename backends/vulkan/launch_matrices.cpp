// Tells launchers which cooperative matrices a device has, and gives kernels that multiply them their constants.

#include <algorithm>

#include "vulkan/command_stream.h"
#include "vulkan/launchers.h"

namespace secondsource::vulkan {

constexpr std::int32_t kThreads = 256;  ///< of a workgroup of these kernels

const CooperativeMatrices& matrices_of(const LaunchContext& context) {
  return static_cast<const CommandStream&>(context.stream).matrices();
}

Kernel with_matrices(std::span<const std::uint32_t> code, std::initializer_list<std::int32_t> values,
                     const MatrixShape& shape, std::int32_t subgroup_size) {
  Kernel kernel(code, values);
  static_assert(kMatrixConstants + 4 == Kernel::kMaxConstants);
  const std::array<std::int32_t, 4> of_matrices = {shape.n_rows, shape.n_cols, shape.depth, kThreads / subgroup_size};
  std::ranges::copy(of_matrices, kernel.constants.begin() + kMatrixConstants);
  kernel.has_full_subgroups = true;
  return kernel;
}

}  // namespace secondsource::vulkan
