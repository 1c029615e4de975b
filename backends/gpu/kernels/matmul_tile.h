#pragma once
// One tile of a matrix product on the matrix cores, computed by one block.
//
//   sums[m, n] = sum_k x[m, k] * weight[n, k],   m in the tile's rows of x, n in its rows of the weight
//
// Shapes       x: [*, padded K]; weight: [N, padded K]; tile: ShapeOf<kTiles>::kRows x kCols
// Dtypes       x: BF16 or int8; weight: any encoding, converted to BF16 (int8 and E4M3 are exact in it), or int8 with int8 x
// Accumulator  f32; int8 by int8 in int32; with group scales each group of 32 columns in int32, then scaled and added in
//              f32; with scales of 128 columns each such group in f32, scaled and added in f32. Row scales are applied to the sums by
//              the caller.
// Aliasing     none: results go to the caller's store function
// Alignment    rows of x and of the weight to 16 bytes
// Source       multistage pipelining along K as in CUTLASS's sm80 (cp.async, mma) and sm90 (wgmma) main loops
//
// K is walked in stages of 64 bytes per row (128 for wgmma), with the next stages' copies in flight while one is
// multiplied. The including kernel decides which rows of x are multiplied and what becomes of the sums.
//
// A warp multiplies fragments that it loads from shared memory, or four warps multiply straight from shared memory by
// wgmma (warpgroup.h). A wgmma still reads its stage during the next step, so one stage fewer can be prefetched. On NVIDIA,
// tiles of 16 x 64 and 64 x 64 keep only x in their stages and load most weights straight into registers (streamed_tile.h).

#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/streamed_tile.h"
#include "gpu/kernels/tile_loader.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// An int32 sum that starts at these bits, read as f32, is the sum plus kInt32Bias = 3 * 2^22. This replaces an int-to-f32
/// conversion, which GPUs execute at a fraction of the rate of additions. Exact for |sum| < 2^22; a group's sum of 32
/// int8 products stays below 2^19 in magnitude.
inline constexpr std::int32_t kInt32BiasBits = 0x4b400000;
inline constexpr float kInt32Bias = 12582912.0F;
static_assert(kGroupColumns * 128 * 128 < 1 << 22);

/// Adds the products of one stage to this warp's sums, summing each group in int32 first.
template <typename Shape, int kRowTiles, int kColTiles>
SS_DEVICE void multiply_groups(const ScaledStage<Shape>& stage, Accumulator<Bf16> (&sums)[kRowTiles][kColTiles]) {
  using Input = std::int8_t;
  constexpr int kStride = Shape::kLineBytes;
  constexpr int kParts = kGroupColumns / kTileDepth<Input>;
  static_assert(kParts * kTileDepth<Input> == kGroupColumns);
  const int first_col = warp() % Shape::kWarpsAcross * Shape::kWarpCols;
  const auto* const a =
      reinterpret_cast<const Input*>(stage.x) + warp() / Shape::kWarpsAcross * Shape::kWarpRows * kStride;
  const auto* const b = reinterpret_cast<const Input*>(stage.weight) + first_col * kStride;
  SS_UNROLL
  for (int group = 0; group < ScaledStage<Shape>::kGroups; ++group) {
    Fragment<Input> columns[kColTiles][kParts];
    float scales[kColTiles][kAccumulators];
    SS_UNROLL
    for (int j = 0; j < kColTiles; ++j) {
      SS_UNROLL
      for (int part = 0; part < kParts; ++part) {
        const int k = group * kGroupColumns + part * kTileDepth<Input>;
        columns[j][part] = load_b(b + j * kTile * kStride + k, kStride);
      }
      SS_UNROLL
      for (int v = 0; v < kAccumulators; ++v) {
        scales[j][v] = stage.scales[group][first_col + j * kTile + accumulator_col(v)];
      }
    }
    SS_UNROLL
    for (int i = 0; i < kRowTiles; ++i) {
      Fragment<Input> rows[kParts];
      SS_UNROLL
      for (int part = 0; part < kParts; ++part) {
        const int k = group * kGroupColumns + part * kTileDepth<Input>;
        rows[part] = load_a(a + i * kTile * kStride + k, kStride);
      }
      SS_UNROLL
      for (int j = 0; j < kColTiles; ++j) {
        Accumulator<Input> group_sum;
        SS_UNROLL
        for (int v = 0; v < kAccumulators; ++v) group_sum.value[v] = kInt32BiasBits;
        SS_UNROLL
        for (int part = 0; part < kParts; ++part) multiply(group_sum, rows[part], columns[j][part]);
        SS_UNROLL
        for (int v = 0; v < kAccumulators; ++v) {
          sums[i][j].value[v] += scales[j][v] * (bits_as<float>(group_sum.value[v]) - kInt32Bias);
        }
      }
    }
  }
}

/// Adds the products of one stage to this warp's sums.
template <typename Shape, typename Input, int kRowTiles, int kColTiles>
SS_DEVICE void multiply_step(const std::byte* x, const std::byte* weight,
                             Accumulator<Input> (&sums)[kRowTiles][kColTiles]) {
  constexpr int kStride = Shape::kLineBytes / static_cast<int>(sizeof(Input));
  const auto* const a = reinterpret_cast<const Input*>(x) + warp() / Shape::kWarpsAcross * Shape::kWarpRows * kStride;
  const auto* const b =
      reinterpret_cast<const Input*>(weight) + warp() % Shape::kWarpsAcross * Shape::kWarpCols * kStride;
  SS_UNROLL
  for (int k = 0; k < Shape::kStepBytes / static_cast<int>(sizeof(Input)); k += kTileDepth<Input>) {
    Fragment<Input> columns[kColTiles];
    SS_UNROLL
    for (int j = 0; j < kColTiles; ++j) columns[j] = load_b(b + j * kTile * kStride + k, kStride);
    SS_UNROLL
    for (int i = 0; i < kRowTiles; ++i) {
      const Fragment<Input> rows = load_a(a + i * kTile * kStride + k, kStride);
      SS_UNROLL
      for (int j = 0; j < kColTiles; ++j) multiply(sums[i][j], rows, columns[j]);
    }
  }
}

/// Adds a group's sums, times the scales of both sides, to the whole sums, and begins the next group's.
template <typename Shape, int kRowTiles, int kColTiles>
SS_DEVICE void add_wide_group(const WideStage<Shape>& stage, Accumulator<Bf16> (&group)[kRowTiles][kColTiles],
                              Accumulator<Bf16> (&sums)[kRowTiles][kColTiles]) {
  const float* const x_scales = stage.x_scales + warp() / Shape::kWarpsAcross * Shape::kWarpRows;
  const float* const weight_scales = stage.weight_scales + warp() % Shape::kWarpsAcross * Shape::kWarpCols;
  SS_UNROLL
  for (int i = 0; i < kRowTiles; ++i) {
    SS_UNROLL
    for (int j = 0; j < kColTiles; ++j) {
      SS_UNROLL
      for (int v = 0; v < kAccumulators; ++v) {
        const float scale = x_scales[i * kTile + accumulator_row(v)] * weight_scales[j * kTile + accumulator_col(v)];
        sums[i][j].value[v] += scale * group[i][j].value[v];
        group[i][j].value[v] = 0.0F;
      }
    }
  }
}

/// Starts the wgmma of one stage for this warpgroup's sums, kTilesPerWgmma tiles of columns at a time, as one commit group.
template <typename Shape, int kTilesPerWgmma = 8, typename Input, int kColTiles>
SS_DEVICE void begin_step(const std::byte* x, const std::byte* weight, Accumulator<Input> (&sums)[kColTiles]) {
  using Columns = Accumulator<Input>[kTilesPerWgmma];
  const std::byte* const rows = x + warp() / kWarpgroupWarps * kWarpgroupRows * Shape::kLineBytes;
  fence_products();
  SS_UNROLL
  for (int k = 0; k < Shape::kStepBytes / static_cast<int>(sizeof(Input)); k += kTileDepth<Input>) {
    SS_UNROLL
    for (int j = 0; j < kColTiles; j += kTilesPerWgmma) {
      multiply_lines(reinterpret_cast<Columns&>(sums[j]), lines_of<Input>(rows, k),
                     lines_of<Input>(weight + j * kTile * Shape::kLineBytes, k));
    }
  }
  commit_products();
}

/// The loader of a block's lines of x.
template <typename Shape, bool kQuantized>
using XLoader =
    TileLoader<Shape, Shape::kRows, kQuantized ? WeightEncoding::kInt8PerRow : WeightEncoding::kBf16, kQuantized>;

/// Steps [begin, end) along K.
struct StepRange {
  int begin;
  int end;
};

/// The number of steps of the whole of K.
template <typename Shape, bool kQuantized>
SS_DEVICE int steps_of(const WeightView& weight) {
  return (weight.padded_cols * static_cast<int>(kQuantized ? 1 : 2) + Shape::kStepBytes - 1) / Shape::kStepBytes;
}

/// Stores a warp's sums in its part of shared memory, from where its lanes take neighbouring ones whatever the fragment layout is.
template <typename Shape, typename Input, int kRowTiles, int kColTiles>
SS_DEVICE void store_sums(const Accumulator<Input> (&sums)[kRowTiles][kColTiles], std::int32_t* own) {
  // The swizzle of a row depends on its place in its tile alone, so that the index in the first tile serves for all of them.
  static_assert(kRowTiles == 1 || kTile % (Shape::kWarpCols / 4) == 0);
  SS_UNROLL
  for (int i = 0; i < kRowTiles; ++i) {
    SS_UNROLL
    for (int j = 0; j < kColTiles; ++j) {
      SS_UNROLL
      for (int v = 0; v < kAccumulators; v += kNeighbours) {
        const int first_row_tile = sum_index<Shape>(accumulator_row(v), j * kTile + accumulator_col(v));
        std::int32_t* const to = own + first_row_tile + i * kTile * Shape::kWarpCols;
        const auto bits = [&](int n) { return bits_as<std::int32_t>(sums[i][j].value[v + n]); };
        if constexpr (kNeighbours == 2) {
          store_pair(to, bits(0), bits(1));
        } else {
          *to = bits(0);
        }
      }
    }
  }
}

/// A warp's sums, in shared memory.
template <typename Shape, typename Sum>
struct WarpSums {
  const std::int32_t* place;
  int first_line;  ///< of the tile
  int first_col;   ///< row of the weight
  int n_cols;      ///< rows of the weight

  /// Finishes all sums. Each lane takes kColumns neighbouring columns and goes through their lines. begin(col) returns what finishes the
  /// columns from `col` on, such as a ColumnsEpilogue; row_of(line) returns the ResultRow of a line of the tile.
  template <int kColumns, typename Begin, typename RowOf>
  SS_DEVICE void finish_columns(const Begin& begin, const RowOf& row_of) const {
    constexpr int kParts = Shape::kWarpCols / kColumns;              // of a line
    constexpr int kLanes = kParts < kWarpSize ? kParts : kWarpSize;  // that share a line
    constexpr int kLines = kWarpSize / kLanes;                       // of the warp at once
    using Epilogue = decltype(begin(0));
    constexpr int kMostAhead = Shape::kWarpRows / kLines;
    constexpr int kAhead = Epilogue::kRowsAhead < kMostAhead ? Epilogue::kRowsAhead : kMostAhead;
    constexpr int kSteps = Shape::kWarpRows / (kLines * kAhead);
    static_assert(kSteps * kLines * kAhead == Shape::kWarpRows);
    for (int part = 0; part < kParts / kLanes; ++part) {
      const int warp_col = (part * kLanes + lane() % kLanes) * kColumns;
      if (first_col + warp_col >= n_cols) break;
      const Epilogue epilogue = begin(first_col + warp_col);
      for (int step = 0; step < kSteps; ++step) {
        const auto line = [&](int u) { return (step * kAhead + u) * kLines + lane() / kLanes; };
        ResultRow rows[kAhead];
        SS_UNROLL
        for (int u = 0; u < kAhead; ++u) rows[u] = row_of(first_line + line(u));
        typename Epilogue::Loaded loaded[kAhead];
        SS_UNROLL
        for (int u = 0; u < kAhead; ++u) loaded[u] = epilogue.request(rows[u]);
        SS_UNROLL
        for (int u = 0; u < kAhead; ++u) {
          epilogue.finish(loaded[u], load_words<Columns<Sum, kColumns>>(place + sum_index<Shape>(line(u), warp_col)));
        }
      }
    }
  }
};

/// Multiplies rows of x with the rows of the weight from `first_output` on and hands each warp its sums: finish(WarpSums).
/// x: BF16 or int8, [rows, padded_cols of the weight]. Row scales are not applied to the sums. `x_scales`: with
/// kFp8Group128 those of x's groups, [rows, n_wide_groups(n_cols)], or null; else not read.
template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized, typename Rows, typename Finish>
SS_DEVICE void compute_tile(const void* x, [[maybe_unused]] const float* x_scales, const Rows& x_rows,
                            const WeightView& weight, int first_output, const StepRange& steps, const Finish& finish) {
  using Shape = ShapeFor<kTiles, kEncoding, kQuantized>;
  using Input = std::conditional_t<kQuantized, std::int8_t, Bf16>;
  constexpr bool kScaled = kScalesGroups<kEncoding, kQuantized>;
  constexpr bool kWide = kHasWideGroups<kEncoding>;
  static_assert(!kWide || !Shape::kByWarpgroups);
  using Sum = std::conditional_t<kQuantized, QuantizedSum<kEncoding>, float>;
  constexpr int kRowTiles = Shape::kWarpRows / kTile;
  constexpr int kColTiles = Shape::kWarpCols / kTile;
  const WeightView x_view{.values = static_cast<const std::byte*>(x),
                          .row_bytes = std::int64_t{weight.padded_cols} * static_cast<int>(sizeof(Input)),
                          .padded_cols = weight.padded_cols};
  auto& shared = shared_memory<TileShared<Shape, StageOf<Shape, kEncoding, kQuantized>>>();
  // Sums of scaled groups are f32, like those of BF16 products.
  Accumulator<std::conditional_t<kScaled, Bf16, Input>> sums[kRowTiles][kColTiles] = {};
  XLoader<Shape, kQuantized> x_loader;
  std::conditional_t<Shape::kStreamsWeights, NoLoader, TileLoader<Shape, Shape::kCols, kEncoding, kQuantized>>
      weight_loader;
  [[maybe_unused]] ScaleLoader<Shape> scale_loader;
  const ContiguousRows weight_rows{first_output, weight.n_rows};
  struct Nothing {
    SS_DEVICE Nothing(const WeightView&, const ContiguousRows&, const float*, const Rows&) {}
  };
  [[maybe_unused]] std::conditional_t<kWide, WideScaleLoader<Shape>, Nothing> wide_loader(weight, weight_rows, x_scales,
                                                                                          x_rows);
  [[maybe_unused]] Accumulator<Bf16> group_sums[kWide ? kRowTiles : 1][kWide ? kColTiles : 1] = {};
  const auto fetch = [&](int step) {
    auto& stage = shared.stage[step % Shape::kStages];
    if constexpr (!Shape::kStreamsWeights) weight_loader.fetch(weight, weight_rows, step, stage.weight);
    x_loader.fetch(x_view, x_rows, step, stage.x);
    if constexpr (kScaled) scale_loader.fetch(weight, weight_rows, step);
    if constexpr (kWide) wide_loader.fetch(step);
  };
  const auto store = [&](int step) {
    auto& stage = shared.stage[step % Shape::kStages];
    x_loader.store(x_view, stage.x);  // first, so that its registers are free when weights are decoded
    if constexpr (!Shape::kStreamsWeights) weight_loader.store(weight, stage.weight);
    if constexpr (kScaled) scale_loader.store(stage);
    if constexpr (kWide) wide_loader.store(stage);
  };
  constexpr int kStagesAhead = Shape::kStagesAhead;
  for (int step = steps.begin; step < steps.begin + kStagesAhead; ++step) {
    if (step < steps.end) {
      fetch(step);
      store(step);
    }
    commit_copies();
  }
  if constexpr (Shape::kStreamsWeights) {
    const auto stream_into = [&](auto& streamed_sums) {
      multiply_streamed<Shape, Input, kEncoding, kQuantized>(
          weight, first_output + warp() * Shape::kWarpCols, shared.stage, steps.begin, steps.end, streamed_sums, fetch,
          [&](int step) {
            if constexpr (kWide) add_wide_group<Shape>(shared.stage[step % Shape::kStages], group_sums, sums);
            if (step + kStagesAhead < steps.end) store(step + kStagesAhead);
          });
    };
    if constexpr (kWide) {
      stream_into(group_sums);
    } else {
      stream_into(sums);
    }
  } else {
    for (int step = steps.begin; step < steps.end; ++step) {
      wait_for_copies<kStagesAhead - 1>();
      if constexpr (Shape::kByWarpgroups) fence_proxy_async();
      sync_block();  // this stage has arrived, and all reads of the stage that is filled next are done
      const bool more = step + kStagesAhead < steps.end;
      if (more) fetch(step + kStagesAhead);
      commit_copies();
      const auto& stage = shared.stage[step % Shape::kStages];
      if constexpr (Shape::kByWarpgroups) {
        begin_step<Shape>(stage.x, stage.weight, sums[0]);
      } else if constexpr (kScaled) {
        multiply_groups<Shape>(stage, sums);
      } else if constexpr (kWide) {
        multiply_step<Shape>(stage.x, stage.weight, group_sums);
        constexpr int kSteps = WideStage<Shape>::kStepsPerGroup;
        if (step % kSteps == kSteps - 1 || step + 1 == steps.end) add_wide_group<Shape>(stage, group_sums, sums);
      } else {
        multiply_step<Shape>(stage.x, stage.weight, sums);
      }
      if (more) store(step + kStagesAhead);
      if constexpr (Shape::kByWarpgroups) wait_for_products<1>(sums[0]);  // of the step before
    }
  }
  if constexpr (Shape::kByWarpgroups) wait_for_products<0>(sums[0]);
  sync_block();  // all reads of the stages are done
  // The sums go through shared memory, so that neighbouring lanes store neighbouring outputs whatever the fragment layout
  // is. All of them at once: functions called by the epilogue would spill sums that are still in registers.
  std::int32_t* const own = shared.sums[warp()];
  store_sums<Shape>(sums, own);
  sync_warp();  // this warp's sums are stored
  finish(WarpSums<Shape, Sum>{.place = own,
                              .first_line = warp() / Shape::kWarpsAcross * Shape::kWarpRows,
                              .first_col = first_output + warp() % Shape::kWarpsAcross * Shape::kWarpCols,
                              .n_cols = weight.n_rows});
}

/// Checks at compile time that a block can compute these tiles.
template <typename Shape>
constexpr bool is_sound() {
  // Each warp of a warpgroup has 16 rows and all columns.
  return Shape::kStagesAhead >= 1 && Shape::kVecsPerLine * kVecBytes == Shape::kStepBytes &&
         (!Shape::kByWarpgroups ||
          (Shape::kWarpsAcross == 1 && Shape::kWarpRows == kTile && Shape::kWarps % kWarpgroupWarps == 0)) &&
         sizeof(TileShared<Shape, std::conditional_t<Shape::kByWarpgroups, TileStage<Shape>, ScaledStage<Shape>>>) <=
             (Shape::kByWarpgroups ? kWarpgroupSharedBytes : 64 << 10);
}

/// Host code: selects a kernel instantiation by calling call.template operator()<tiles, encoding, quantized>().
template <typename Call>
Result<void> with_tile_kernel(MatmulTiles tiles, WeightEncoding encoding, bool quantized, const Call& call) {
  const auto with = [&]<MatmulTiles kTiles>() -> Result<void> {
    static_assert(is_sound<ShapeOf<kTiles>>());
    static_assert(is_large(kTiles) ||
                  sizeof(TileShared<StreamedShape<kTiles>, WideStage<StreamedShape<kTiles>>>) <= 64 << 10);
    if (quantized) {
      return with_quantized_encoding(encoding, [&]<WeightEncoding kEncoding>() -> Result<void> {
        if constexpr (kHasGroups<kEncoding> && is_large(kTiles)) {
          return Error{ErrorCode::kInternal, "groups of int8 in large tiles, whose sums have no place for a scale"};
        } else {
          return call.template operator()<kTiles, kEncoding, true>();
        }
      });
    }
    return with_encoding(encoding, [&]<WeightEncoding kEncoding>() -> Result<void> {
      if constexpr (kHasWideGroups<kEncoding> && is_large(kTiles)) {
        return Error{ErrorCode::kInternal, "groups of FP8 in large tiles, whose sums have no place for a scale"};
      } else {
        return call.template operator()<kTiles, kEncoding, false>();
      }
    });
  };
  switch (tiles) {
    case MatmulTiles::k16x64:
      return with.template operator()<MatmulTiles::k16x64>();
    case MatmulTiles::k64x64:
      return with.template operator()<MatmulTiles::k64x64>();
    case MatmulTiles::k128x128:
      return with.template operator()<MatmulTiles::k128x128>();
#if defined(SS_GPU_CUDA) || defined(SS_GPU_WARPGROUPS)
    case MatmulTiles::kWgmma128x128:
      return with.template operator()<MatmulTiles::kWgmma128x128>();
    case MatmulTiles::kWgmma128x256:
      return with.template operator()<MatmulTiles::kWgmma128x256>();
    case MatmulTiles::kStreamK128x256:
    case MatmulTiles::kCluster128x128:
    case MatmulTiles::kCluster128x256:
      return Error{ErrorCode::kInternal, "tiles that have a kernel of their own, for another kernel"};
#else
    case MatmulTiles::kWgmma128x128:
    case MatmulTiles::kWgmma128x256:
    case MatmulTiles::kStreamK128x256:
    case MatmulTiles::kCluster128x128:
    case MatmulTiles::kCluster128x256:
      break;
#endif
  }
  return Error{ErrorCode::kInternal, "products of warpgroups on a target that has none"};
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
