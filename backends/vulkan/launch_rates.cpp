// The launchers of the kernels that measure what a device can do.

#include "vulkan/launchers.h"

namespace secondsource::vulkan {
namespace {

constexpr std::uint32_t kReadMemoryCode[] = {
#include "vulkan/spirv/read_memory.inc"
};
constexpr std::uint32_t kComputeCode[] = {
#include "vulkan/spirv/compute.inc"
};

static_assert(gpu::kReadMemoryThreads == 256 && gpu::kComputeThreads == 256, "local_size_x of both kernels");
static_assert(kF32Chains == gpu::kF32Chains && kF32Depth == gpu::kF32Depth);

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
  if (arguments.unit != gpu::ComputeUnit::kF32) {
    return Error{ErrorCode::kUnsupported,
                 "compute: the Vulkan kernels use no matrix units, whose peak could be measured"};
  }
  return launch(
      context, "compute", Kernel(kComputeCode), {.x = static_cast<std::uint32_t>(arguments.n_blocks)},
      ComputeParameters{.results = address(arguments.results), .n_steps = arguments.n_steps, .one = arguments.one});
}

}  // namespace secondsource::vulkan
