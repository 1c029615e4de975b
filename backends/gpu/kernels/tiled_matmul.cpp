// Products with many rows of x, as prefill has them, on the matrix cores: a block makes 64 x 64 outputs in steps of 32
// along K, the next step's weights under way while this one is multiplied. Whatever the weight's encoding, the matrix
// cores see BF16; int8 is exact in it, and its scale comes in at the end.

#include "core/checked.h"
#include "gpu/kernels/dot_product.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/portable/shared_copy.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kWarps = 4;           ///< two by two
constexpr int kBlock = 64;          ///< rows of x, and of the weight, of a block
constexpr int kStep = 32;           ///< along K
constexpr int kStride = kStep + 8;  ///< of a row in shared memory: 16-byte pieces of neighbouring rows in other banks
constexpr int kSumStride = kBlock + 4;
constexpr int kWarpBlock = kBlock / 2;
constexpr int kWarpTiles = kWarpBlock / kTile;
constexpr int kUnit = 8;  ///< BF16 values that are stored to shared memory at once

/// Two steps' inputs; when they are used up, the sums take their place.
struct Inputs {
  Bf16 x[2][kBlock * kStride];
  Bf16 weight[2][kBlock * kStride];
};
union Shared {
  Inputs inputs;
  float sums[kBlock * kSumStride];
};

SS_DEVICE void store_unit(Bf16* to, const float* values) {
  Chunk chunk;
  for (int i = 0; i < 4; ++i) {
    chunk.word[i] = narrow(values[2 * i]).bits | static_cast<std::uint32_t>(narrow(values[2 * i + 1]).bits) << 16;
  }
  store_chunk(to, chunk);
}

/// Rows [first_row, first_row + 64) of x, columns [col, col + 32), zeros where there is nothing.
template <bool kQuantized>
SS_DEVICE void stage_x(const MatmulArguments& a, int n_rows, int first_row, int col, Bf16* to) {
  for (int unit = thread_x(); unit < kBlock * kStep / kUnit; unit += n_threads()) {
    const int row = first_row + unit / (kStep / kUnit);
    const int at = col + unit % (kStep / kUnit) * kUnit;
    float values[kUnit] = {};
    if (row < n_rows) {
      if constexpr (kQuantized) {
        const std::int8_t* const x = a.quantized_x + std::int64_t{row} * a.weight.padded_cols + at;
        SS_UNROLL
        for (int i = 0; i < kUnit; ++i) values[i] = static_cast<float>(x[i]);
      } else {
        const float* const x = a.x + std::int64_t{row} * a.weight.n_cols;
        load_activations<kUnit>(x, at, a.weight.n_cols, a.weight.n_cols % 4 == 0, values);
      }
    }
    store_unit(to + unit / (kStep / kUnit) * kStride + at - col, values);
  }
}

/// The same of the weight. BF16 goes as it is, asynchronously.
template <WeightEncoding kEncoding>
SS_DEVICE void stage_weight(const WeightView& weight, int first_row, int col, Bf16* to) {
  for (int unit = thread_x(); unit < kBlock * kStep / kUnit; unit += n_threads()) {
    const int row = first_row + unit / (kStep / kUnit);
    const int at = col + unit % (kStep / kUnit) * kUnit;
    Bf16* const place = to + unit / (kStep / kUnit) * kStride + at - col;
    const std::byte* const begin = weight.values + std::int64_t{row} * weight.row_bytes;
    const bool in_range = row < weight.n_rows;
    if constexpr (kEncoding == WeightEncoding::kBf16) {
      copy_to_shared(place, begin + at * 2, in_range);
      continue;
    }
    float values[kUnit] = {};
    if (in_range) {
      if constexpr (kEncoding == WeightEncoding::kF32) {
        unpack<kEncoding>(load_chunk(begin + at * 4), values);
        unpack<kEncoding>(load_chunk(begin + at * 4 + 16), values + 4);
      } else if constexpr (kEncoding == WeightEncoding::kF16) {
        unpack<kEncoding>(load_chunk(begin + at * 2), values);
      } else if constexpr (kEncoding == WeightEncoding::kInt8PerRow) {
        const auto* const words = reinterpret_cast<const std::uint32_t*>(begin + at);
        unpack_int8(words[0], values);
        unpack_int8(words[1], values + 4);
      } else if constexpr (kEncoding == WeightEncoding::kInt4Group32) {
        unpack_int4(*reinterpret_cast<const std::uint32_t*>(begin + at / 2), values);
        const float scale = group_scale(weight, row, at / static_cast<int>(kInt4GroupSize));
        SS_UNROLL
        for (int i = 0; i < kUnit; ++i) values[i] *= scale;
      }
    }
    store_unit(place, values);
  }
}

/// Adds one step's products to this warp's 32 x 32 sums.
SS_DEVICE void multiply_step(const Bf16* x, const Bf16* weight, Accumulator (&sums)[kWarpTiles][kWarpTiles]) {
  const int first_row = warp() / 2 * kWarpBlock;
  const int first_col = warp() % 2 * kWarpBlock;
  SS_UNROLL
  for (int k = 0; k < kStep; k += kTile) {
    Fragment b[kWarpTiles];
    SS_UNROLL
    for (int j = 0; j < kWarpTiles; ++j) b[j] = load_b(weight + (first_col + j * kTile) * kStride + k, kStride);
    SS_UNROLL
    for (int i = 0; i < kWarpTiles; ++i) {
      const Fragment fragment = load_a(x + (first_row + i * kTile) * kStride + k, kStride);
      SS_UNROLL
      for (int j = 0; j < kWarpTiles; ++j) multiply(sums[i][j], fragment, b[j]);
    }
  }
}

SS_DEVICE void spread_sums(const Accumulator (&sums)[kWarpTiles][kWarpTiles], float* shared) {
  SS_UNROLL
  for (int i = 0; i < kWarpTiles; ++i) {
    SS_UNROLL
    for (int j = 0; j < kWarpTiles; ++j) {
      const int first_row = warp() / 2 * kWarpBlock + i * kTile;
      const int first_col = warp() % 2 * kWarpBlock + j * kTile;
      SS_UNROLL
      for (int v = 0; v < kAccumulators; ++v) {
        shared[(first_row + accumulator_row(v)) * kSumStride + first_col + accumulator_col(v)] = sums[i][j].value[v];
      }
    }
  }
}

template <WeightEncoding kEncoding, bool kQuantized>
SS_KERNEL(kMaxThreads)
tiled_matmul_kernel(MatmulArguments a) {
  const int n_rows = *a.n_rows;
  const int first_row = block_y() * kBlock;
  const int first_output = block_x() * kBlock;
  if (first_row >= n_rows) return;
  auto& shared = shared_memory<Shared>();
  Accumulator sums[kWarpTiles][kWarpTiles] = {};
  const int n_steps = a.weight.padded_cols / kStep;
  const auto stage = [&](int step) {
    stage_weight<kEncoding>(a.weight, first_output, step * kStep, shared.inputs.weight[step % 2]);
    commit_copies();
    stage_x<kQuantized>(a, n_rows, first_row, step * kStep, shared.inputs.x[step % 2]);
  };
  stage(0);
  for (int step = 0; step < n_steps; ++step) {
    wait_for_copies<0>();
    sync_block();  // this step has arrived, and nobody reads the other buffer any more
    if (step + 1 < n_steps) stage(step + 1);
    multiply_step(shared.inputs.x[step % 2], shared.inputs.weight[step % 2], sums);
  }
  sync_block();
  spread_sums(sums, shared.sums);
  sync_block();
  // From here on every element belongs to one thread, whatever the fragments were; neighbours store neighbours.
  const bool in_pairs = is_gated(a.epilogue);
  const int n_cols = in_pairs ? kBlock / 2 : kBlock;
  for (int i = thread_x(); i < kBlock * n_cols; i += n_threads()) {
    const int row = i / n_cols;
    const int col = (in_pairs ? 2 : 1) * (i % n_cols);
    const int output = first_output + col;
    if (first_row + row >= n_rows || output >= a.weight.n_rows) continue;
    const float x_scale = kQuantized ? a.x_scales[first_row + row] : 1.0F;
    const auto sum = [&](int j) {
      float value = shared.sums[row * kSumStride + col + j];
      if constexpr (kEncoding == WeightEncoding::kInt8PerRow) value *= x_scale * a.weight.row_scales[output + j];
      return value;
    };
    if (in_pairs) {
      store_gated(a, first_row + row, output / 2, sum(0), sum(1));
    } else {
      store_product(a, first_row + row, output, sum(0));
    }
  }
}

template <WeightEncoding kEncoding, bool kQuantized>
Result<void> launch_for(const LaunchContext& context, const MatmulArguments& arguments) {
  const auto blocks = [](std::int32_t n) { return static_cast<std::uint32_t>(ceil_divide(n, kBlock)); };
  return launch(context.stream, "tiled_matmul", tiled_matmul_kernel<kEncoding, kQuantized>,
                {.grid = {blocks(arguments.weight.n_rows), blocks(arguments.max_rows)},
                 .threads = static_cast<std::uint32_t>(kWarps * context.warp_size),
                 .shared_bytes = sizeof(Shared)},
                arguments);
}

}  // namespace

Result<void> launch_tiled_matmul(const LaunchContext& context, const MatmulArguments& arguments) {
  if (arguments.quantized_x != nullptr) return launch_for<WeightEncoding::kInt8PerRow, true>(context, arguments);
  return with_encoding(arguments.weight.encoding,
                       [&]<WeightEncoding kEncoding>() { return launch_for<kEncoding, false>(context, arguments); });
}

Result<void> launch_matmul(const LaunchContext& context, const MatmulArguments& arguments) {
  return arguments.max_rows <= kMatvecRows ? launch_matvec(context, arguments)
                                           : launch_tiled_matmul(context, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
