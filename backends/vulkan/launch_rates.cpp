// Launches the kernels that measure what a device can do: its read rate, and its rates of multiply-adds.

#include "vulkan/launchers.h"

namespace secondsource::vulkan {
namespace {

constexpr std::uint32_t kReadMemoryCode[] = {
#include "vulkan/spirv/read_memory.inc"
};
constexpr std::uint32_t kComputeCode[] = {
#include "vulkan/spirv/compute.inc"
};

constexpr std::uint32_t kMultiplyF16Code[] = {
#include "vulkan/spirv/multiply_matrices_f16.inc"
};
constexpr std::uint32_t kMultiplyInt8Code[] = {
#include "vulkan/spirv/multiply_matrices_int8.inc"
};

static_assert(gpu::kReadMemoryThreads == 256 && gpu::kComputeThreads == 256, "local_size_x of both kernels");
static_assert(kF32Chains == gpu::kF32Chains && kF32Depth == gpu::kF32Depth && kComputeTiles == gpu::kComputeTiles &&
              kComputeDepth == gpu::kComputeDepth);

/// The kernel that multiplies by a unit.
Result<Kernel> compute_kernel(const LaunchContext& context, gpu::ComputeUnit unit) {
  const CooperativeMatrices& matrices = matrices_of(context);
  if (unit == gpu::ComputeUnit::kF32) return Kernel(kComputeCode);
  if (unit == gpu::ComputeUnit::kBf16 && matrices.exist()) {
    return with_matrices(kMultiplyF16Code, {}, matrices.f16, matrices.subgroup_size);
  }
  if (unit == gpu::ComputeUnit::kInt8 && matrices.exist()) {
    return with_matrices(kMultiplyInt8Code, {}, matrices.int8, matrices.subgroup_size);
  }
  return Error{ErrorCode::kUnsupported, "compute: the device has no such matrix units that the Vulkan kernels use"};
}

}  // namespace

Result<void> launch_read_memory(const LaunchContext& context, const gpu::ReadMemoryArguments& arguments) {
  return launch(context, "read_memory", Kernel(kReadMemoryCode), {.x = static_cast<std::uint32_t>(arguments.n_blocks)},
                ReadMemoryParameters{.memory = address(arguments.memory),
                                     .sums = address(arguments.sums),
                                     .n_vecs = static_cast<std::uint64_t>(arguments.n_vecs),
                                     .n_blocks = arguments.n_blocks,
                                     .n_passes = arguments.n_passes});
}

Result<void> launch_compute(const LaunchContext& context, const gpu::ComputeArguments& arguments) {
  SS_TRY(const Kernel kernel, compute_kernel(context, arguments.unit));
  return launch(
      context, "compute", kernel, {.x = static_cast<std::uint32_t>(arguments.n_blocks)},
      ComputeParameters{.results = address(arguments.results), .n_steps = arguments.n_steps, .one = arguments.one});
}

}  // namespace secondsource::vulkan
