// Multiplies as fast as the device can, to measure the peaks that products are compared with.
//
//   results[thread] = n_steps * (sums of the thread) * (multiply-adds of a sum in a step), each of which adds 1 * 1
//
// Shapes       results: [n_blocks * kComputeThreads]
// Dtypes       f32; BF16 or int8 on the matrix cores
// Accumulator  f32, int32 for int8; exact, and the results show that every product was made
// Aliasing     none
// Alignment    none
// Source       own; independent chains of multiply-adds in registers, enough to hide their latency; by warpgroups both
//              operands are in shared memory, as in the kernels that use them, with one group of products always pending
//
// The operands never change, so that a device draws less power than with those of a model: this is a peak, not a sustained rate.

#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/warpgroup.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

SS_DEVICE void store_result(const ComputeArguments& a, float total) {
  a.results[block_x() * kComputeThreads + thread_x()] = total;
}

SS_KERNEL(kComputeThreads) compute_f32_kernel(ComputeArguments a) {
  wait_for_earlier_kernels();
  float sums[kF32Chains] = {};
  for (int step = 0; step < a.n_steps; ++step) {
    SS_UNROLL
    for (int k = 0; k < kF32Depth; ++k) {
      SS_UNROLL
      for (int i = 0; i < kF32Chains; ++i) sums[i] = sums[i] * a.one + a.one;
    }
  }
  float total = 0;
  SS_UNROLL
  for (int i = 0; i < kF32Chains; ++i) total += sums[i];
  store_result(a, total);
}

/// A 32-bit word of operands, all of which are `one`.
template <typename Input>
SS_DEVICE std::uint32_t ones(float one) {
  if constexpr (std::is_same_v<Input, Bf16>) return narrow_pair(one, one);
  return static_cast<std::uint32_t>(static_cast<std::int32_t>(one)) * 0x01010101U;
}

template <typename Input>
SS_KERNEL(kComputeThreads)
compute_tiles_kernel(ComputeArguments a) {
  wait_for_earlier_kernels();
  Fragment<Input> operand;
  SS_UNROLL
  for (int i = 0; i < kInputs<Input>; ++i) {
    if constexpr (std::is_same_v<Input, Bf16>) {
      operand.value[i] = narrow(a.one);
    } else {
      operand.value[i] = static_cast<std::int8_t>(a.one);
    }
  }
  Accumulator<Input> sums[kComputeTiles] = {};
  for (int step = 0; step < a.n_steps; ++step) {
    SS_UNROLL
    for (int k = 0; k < kComputeDepth; k += kTileDepth<Input>) {
      SS_UNROLL
      for (int i = 0; i < kComputeTiles; ++i) multiply(sums[i], operand, operand);
    }
  }
  SumOf<Input> total = 0;
  SS_UNROLL
  for (int i = 0; i < kComputeTiles; ++i) {
    SS_UNROLL
    for (int v = 0; v < kAccumulators; ++v) total += sums[i].value[v];
  }
  store_result(a, static_cast<float>(total));
}

/// One stage of both operands: the rows of two warpgroups, and 128 columns.
struct ComputeShared {
  static constexpr int kBytes = 2 * kWarpgroupRows * kSwizzledLineBytes;
  alignas(kSwizzleAlignment) std::byte rows[kBytes];
  alignas(kSwizzleAlignment) std::byte columns[kBytes];
};

template <typename Input>
SS_KERNEL(kComputeThreads)
compute_together_kernel(ComputeArguments a) {
  wait_for_earlier_kernels();
  // On targets without wgmma the kernel multiplies nothing, and the host never launches it.
  if constexpr (!kHasWarpgroups) {
    store_result(a, 0.0F);
  } else {
    auto& shared = shared_memory<ComputeShared>();
    const std::uint32_t word = ones<Input>(a.one);
    for (int at = thread_x() * static_cast<int>(sizeof(Chunk)); at < ComputeShared::kBytes;
         at += kComputeThreads * static_cast<int>(sizeof(Chunk))) {
      store_chunk(shared.rows + at, {{word, word, word, word}});
      store_chunk(shared.columns + at, {{word, word, word, word}});
    }
    fence_proxy_async();
    sync_block();
    const std::byte* const rows = shared.rows + warp() / kWarpgroupWarps * kWarpgroupRows * kSwizzledLineBytes;
    constexpr int kColTiles = 8;
    Accumulator<Input> sums[kColTiles] = {};
    for (int step = 0; step < a.n_steps; ++step) {
      fence_products();
      SS_UNROLL
      for (int k = 0; k < kTogetherDepthBytes / static_cast<int>(sizeof(Input)); k += kTileDepth<Input>) {
        multiply_lines(sums, lines_of<Input>(rows, k), lines_of<Input>(shared.columns, k));
      }
      commit_products();
      wait_for_products<1>(sums);
    }
    wait_for_products<0>(sums);
    SumOf<Input> total = 0;
    SS_UNROLL
    for (int i = 0; i < kColTiles; ++i) {
      SS_UNROLL
      for (int v = 0; v < kAccumulators; ++v) total += sums[i].value[v];
    }
    store_result(a, static_cast<float>(total));
  }
}

}  // namespace

Result<void> launch_compute(const LaunchContext& context, const ComputeArguments& arguments) {
  const auto start = [&](void (*kernel)(ComputeArguments), std::size_t shared_bytes) {
    return launch(context.stream, "compute", kernel,
                  {.grid = {static_cast<std::uint32_t>(arguments.n_blocks)},
                   .threads = kComputeThreads,
                   .shared_bytes = shared_bytes},
                  arguments);
  };
  switch (arguments.unit) {
    case ComputeUnit::kF32:
      return start(compute_f32_kernel, 0);
    case ComputeUnit::kBf16:
      return start(compute_tiles_kernel<Bf16>, 0);
    case ComputeUnit::kInt8:
      return start(compute_tiles_kernel<std::int8_t>, 0);
    case ComputeUnit::kBf16Together:
      return start(compute_together_kernel<Bf16>, sizeof(ComputeShared));
    case ComputeUnit::kInt8Together:
      return start(compute_together_kernel<std::int8_t>, sizeof(ComputeShared));
  }
  return Error{ErrorCode::kInternal, "compute: no such unit"};
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
