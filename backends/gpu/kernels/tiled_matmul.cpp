// Products with many rows of x, as prefill has them, on the matrix cores: a block makes a tile of the outputs in steps
// of 64 bytes along K, with the next steps' inputs under way while this one is multiplied. Whatever the weight's
// encoding, the matrix cores see BF16; int8 is exact in it, and a row's scale comes in at the end, a group's before it.
// int8 by int8 is summed in int32. Where the tiles are too few for the device, blocks share K, and a second kernel adds
// up.
//
// A warp multiplies from fragments that it loads, or four warps together straight from shared memory (warpgroup.h), in
// steps of 128 bytes. These products go on into the next step, so that the slot to fill next is the one before the
// last.

#include "core/checked.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/weight_code.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/portable/shared_copy.h"
#include "gpu/portable/warpgroup.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kUnitBytes = 16;  ///< what a thread brings at once

/// What a block makes, how its warps share it, and how many steps it holds.
template <MatmulTiles kTiles, int kWarpsAlongRows, int kWarpsAlongCols, int kStepsHeld>
struct BlockShape {
  static constexpr bool kByWarpgroups = by_warpgroups(kTiles);
  static constexpr int kRows = block_rows(kTiles);  ///< of x
  static constexpr int kCols = block_cols(kTiles);  ///< rows of the weight
  static constexpr int kAcross = kWarpsAlongCols;
  static constexpr int kWarps = kWarpsAlongRows * kWarpsAlongCols;
  static constexpr int kWarpRows = kRows / kWarpsAlongRows;
  static constexpr int kWarpCols = kCols / kWarpsAlongCols;
  static constexpr int kSlots = kStepsHeld;
  static constexpr int kAhead = kSlots - (kByWarpgroups ? 2 : 1);  ///< steps that are under way
  static constexpr int kStepBytes = step_bytes(kTiles);
  static constexpr int kUnitsOfLine = kStepBytes / kUnitBytes;
  /// In shared memory units of neighbouring rows are in other banks: by a gap, or exchanged as warpgroups have it.
  static constexpr int kLineBytes = kByWarpgroups ? kSwizzledLineBytes : kStepBytes + kUnitBytes;
  static constexpr int kAlignment = kByWarpgroups ? kSwizzleAlignment : kUnitBytes;
  static SS_DEVICE int unit_place(int line, int unit) {
    return kByWarpgroups ? swizzled_place(line, unit) : line * kLineBytes + unit * kUnitBytes;
  }
};
template <MatmulTiles kTiles>
struct ShapeOf;
template <>
struct ShapeOf<MatmulTiles::k16x64> : BlockShape<MatmulTiles::k16x64, 1, 4, 4> {};
template <>
struct ShapeOf<MatmulTiles::k64x64> : BlockShape<MatmulTiles::k64x64, 2, 2, 4> {};
template <>
struct ShapeOf<MatmulTiles::k128x128> : BlockShape<MatmulTiles::k128x128, 2, 4, 3> {};
// Two warpgroups, 64 rows and all columns each.
template <>
struct ShapeOf<MatmulTiles::kWgmma128x128> : BlockShape<MatmulTiles::kWgmma128x128, 8, 1, 4> {};
template <>
struct ShapeOf<MatmulTiles::kWgmma128x256> : BlockShape<MatmulTiles::kWgmma128x256, 8, 1, 4> {};

/// The slots of the steps; when they are used up, the sums of each warp take their place.
template <typename Shape>
union Shared {
  struct {
    alignas(Shape::kAlignment) std::byte x[Shape::kRows * Shape::kLineBytes];
    alignas(Shape::kAlignment) std::byte weight[Shape::kCols * Shape::kLineBytes];
  } slot[Shape::kSlots];
  std::int32_t sums[Shape::kWarps][Shape::kWarpRows * Shape::kWarpCols];  ///< bits of f32, or int32
};

/// Where a warp's sum [row, col] lies: four by four in turns, so that neighbouring rows are in other banks.
template <typename Shape>
SS_DEVICE int sum_place(int row, int col) {
  return row * Shape::kWarpCols + (col ^ row % (Shape::kWarpCols / 4) * 4);
}

/// A unit of the weight as it is stored, between its load and its way to shared memory.
template <WeightEncoding kEncoding, bool kQuantized>
struct Unit {
  static constexpr int kWords = kEncoding == WeightEncoding::kF32           ? 8
                                : kEncoding == WeightEncoding::kInt4Group32 ? 1
                                : kIsInt8<kEncoding>                        ? (kQuantized ? 4 : 2)
                                                                            : 4;
  static constexpr bool kAsItIs = kEncoding == WeightEncoding::kBf16 || kQuantized;
  struct alignas(kWords < 4 ? kWords * 4 : 16) Words {
    std::uint32_t word[kWords];
  } words = {};
  float scale = 1.0F;

  /// Values [unit * n, unit * n + n) of a row, n what makes 16 bytes of the tile's type.
  SS_DEVICE void load(const WeightView& weight, int row, int unit) {
    words = reinterpret_cast<const Words*>(weight.values + std::int64_t{row} * weight.row_bytes)[unit];
    if constexpr (kHasGroups<kEncoding>) scale = group_scale(weight, row, unit * 8);
  }
  [[nodiscard]] SS_DEVICE Chunk narrowed() const {
    if constexpr (kAsItIs) {
      return bits_as<Chunk>(words);
    } else {
      float values[8];
      SS_UNROLL
      for (int w = 0; w < kWords; ++w) {
        if constexpr (kEncoding == WeightEncoding::kF32) {
          values[w] = bits_as<float>(words.word[w]);
        } else if constexpr (kIsInt8<kEncoding>) {
          unpack_int8(words.word[w], values + 4 * w);
        } else if constexpr (kEncoding == WeightEncoding::kInt4Group32) {
          unpack_int4(words.word[w], values);
        } else {
          values[2 * w] = widen(F16{static_cast<std::uint16_t>(words.word[w])});
          values[2 * w + 1] = widen(F16{static_cast<std::uint16_t>(words.word[w] >> 16)});
        }
      }
      SS_UNROLL
      for (int i = 0; i < 8; ++i) values[i] *= scale;
      return narrow_unit(values);
    }
  }
};

/// This thread's part in bringing one operand's lines of a step to shared memory: what can be copied as it is goes
/// asynchronously where the target can do that, everything else through registers, which are filled before a step is
/// multiplied and emptied after.
template <typename Shape, int kLines, WeightEncoding kEncoding, bool kQuantized>
struct Carrier {
  using Carried = Unit<kEncoding, kQuantized>;
  static constexpr int kThreads = Shape::kWarps * kWarpSize;
  static constexpr int kUnitsOfLine = Shape::kUnitsOfLine;
  static constexpr bool kAsync = kHasAsyncCopies && Carried::kAsItIs;
  static constexpr int kUnits = (kLines * kUnitsOfLine + kThreads - 1) / kThreads;
  Carried held[kAsync ? 1 : kUnits];

  /// `lines` has the operand's rows; those from `end` on, and columns behind the last, are zeros.
  SS_DEVICE void fetch(const WeightView& lines, int first, int end, int step, std::byte* to) {
    const int n_units = lines.padded_cols * static_cast<int>(kQuantized ? 1 : 2) / kUnitBytes;
    SS_UNROLL
    for (int u = 0; u < kUnits; ++u) {
      const int at = thread_x() + u * kThreads;
      if (kLines * kUnitsOfLine % kThreads != 0 && at >= kLines * kUnitsOfLine) break;
      const int row = first + at / kUnitsOfLine;
      const int unit = step * kUnitsOfLine + at % kUnitsOfLine;
      const bool in_range = row < end && unit < n_units;
      if constexpr (kAsync) {
        const std::byte* const from = lines.values + (in_range ? std::int64_t{row} * lines.row_bytes : 0);
        copy_to_shared(to + Shape::unit_place(at / kUnitsOfLine, at % kUnitsOfLine),
                       from + (in_range ? unit : 0) * kUnitBytes, in_range);
      } else {
        held[u] = Carried();
        if (in_range) held[u].load(lines, row, unit);
      }
    }
  }
  SS_DEVICE void store(std::byte* to) {
    if constexpr (!kAsync) {
      SS_UNROLL
      for (int u = 0; u < kUnits; ++u) {
        const int at = thread_x() + u * kThreads;
        if (kLines * kUnitsOfLine % kThreads != 0 && at >= kLines * kUnitsOfLine) break;
        store_chunk(to + Shape::unit_place(at / kUnitsOfLine, at % kUnitsOfLine), held[u].narrowed());
      }
    }
  }
};

/// Adds one step's products to this warp's sums.
template <typename Shape, typename Input, int kRowTiles, int kColTiles>
SS_DEVICE void multiply_step(const std::byte* x, const std::byte* weight,
                             Accumulator<Input> (&sums)[kRowTiles][kColTiles]) {
  constexpr int kStride = Shape::kLineBytes / static_cast<int>(sizeof(Input));
  const auto* const a = reinterpret_cast<const Input*>(x) + warp() / Shape::kAcross * Shape::kWarpRows * kStride;
  const auto* const b = reinterpret_cast<const Input*>(weight) + warp() % Shape::kAcross * Shape::kWarpCols * kStride;
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

/// Begins to add one step's products to this warpgroup's sums, 128 columns at a time.
template <typename Shape, typename Input, int kColTiles>
SS_DEVICE void begin_step(const std::byte* x, const std::byte* weight, Accumulator<Input> (&sums)[kColTiles]) {
  constexpr int kTilesAtOnce = 8;
  using Columns = Accumulator<Input>[kTilesAtOnce];
  const std::byte* const rows = x + warp() / kWarpgroupWarps * kWarpgroupRows * Shape::kLineBytes;
  fence_products();
  SS_UNROLL
  for (int k = 0; k < Shape::kStepBytes / static_cast<int>(sizeof(Input)); k += kTileDepth<Input>) {
    SS_UNROLL
    for (int j = 0; j < kColTiles; j += kTilesAtOnce) {
      multiply_lines(reinterpret_cast<Columns&>(sums[j]), lines_of<Input>(rows, k),
                     lines_of<Input>(weight + j * kTile * Shape::kLineBytes, k));
    }
  }
  commit_products();
}

/// A whole sum, its scales included, through the epilogue; of a gated product, with its neighbour's.
template <bool kQuantized, typename Sum>
SS_DEVICE void store_sums(const MatmulArguments& a, int row, int output, const Sum* sums) {
  const auto scaled = [&](int j) {
    auto value = static_cast<float>(sums[j]);
    if (a.weight.encoding == WeightEncoding::kInt8PerRow) {
      value *= (kQuantized ? a.x_scales[row] : 1.0F) * a.weight.row_scales[output + j];
    }
    return value;
  };
  if (is_gated(a.epilogue)) {
    store_gated(a, row, output / 2, scaled(0), scaled(1));
  } else {
    store_product(a, row, output, scaled(0));
  }
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
SS_DEVICE void make_tile(const MatmulArguments& a) {
  using Shape = ShapeOf<kTiles>;
  using Input = std::conditional_t<kQuantized, std::int8_t, Bf16>;
  constexpr int kRowTiles = Shape::kWarpRows / kTile;
  constexpr int kColTiles = Shape::kWarpCols / kTile;
  // Blocks that share rows of the weight are neighbours, so that these are read from memory once.
  const int n_rows = *a.n_rows;
  const int first_row = block_x() * Shape::kRows;
  const int first_output = block_y() * Shape::kCols;
  if (first_row >= n_rows) return;
  const WeightView x{.values = kQuantized ? reinterpret_cast<const std::byte*>(a.quantized_x)
                                          : reinterpret_cast<const std::byte*>(a.narrow_x),
                     .row_bytes = std::int64_t{a.weight.padded_cols} * static_cast<int>(sizeof(Input)),
                     .n_rows = n_rows,
                     .padded_cols = a.weight.padded_cols};
  auto& shared = shared_memory<Shared<Shape>>();
  Accumulator<Input> sums[kRowTiles][kColTiles] = {};
  Carrier<Shape, Shape::kRows, kQuantized ? WeightEncoding::kInt8PerRow : WeightEncoding::kBf16, kQuantized> of_x;
  Carrier<Shape, Shape::kCols, kEncoding, kQuantized> of_weight;
  const auto fetch = [&](int step) {
    auto& slot = shared.slot[step % Shape::kSlots];
    of_weight.fetch(a.weight, first_output, a.weight.n_rows, step, slot.weight);
    of_x.fetch(x, first_row, n_rows, step, slot.x);
  };
  const auto store = [&](int step) {
    auto& slot = shared.slot[step % Shape::kSlots];
    of_weight.store(slot.weight);
    of_x.store(slot.x);
  };
  const int begin = block_z() * a.plan.split_steps;
  const int n_steps =
      (a.weight.padded_cols * static_cast<int>(sizeof(Input)) + Shape::kStepBytes - 1) / Shape::kStepBytes;
  const int end = begin + a.plan.split_steps < n_steps ? begin + a.plan.split_steps : n_steps;
  constexpr int kAhead = Shape::kAhead;
  for (int step = begin; step < begin + kAhead; ++step) {
    if (step < end) {
      fetch(step);
      store(step);
    }
    commit_copies();
  }
  for (int step = begin; step < end; ++step) {
    wait_for_copies<kAhead - 1>();
    if constexpr (Shape::kByWarpgroups) show_to_warpgroups();
    sync_block();  // this step has arrived, and nobody reads the slot that is filled next any more
    const bool more = step + kAhead < end;
    if (more) fetch(step + kAhead);
    commit_copies();
    const auto& slot = shared.slot[step % Shape::kSlots];
    if constexpr (Shape::kByWarpgroups) {
      begin_step<Shape>(slot.x, slot.weight, sums[0]);
    } else {
      multiply_step<Shape>(slot.x, slot.weight, sums);
    }
    if (more) store(step + kAhead);
    if constexpr (Shape::kByWarpgroups) wait_for_products<1>(sums[0]);  // those of the step before
  }
  if constexpr (Shape::kByWarpgroups) wait_for_products<0>(sums[0]);
  sync_block();  // nobody reads a slot any more
  // By way of shared memory, so that neighbours store neighbours whatever the fragments were.
  // All of them, since what the epilogue calls would push sums that wait in registers to memory.
  std::int32_t* const own = shared.sums[warp()];
  SS_UNROLL
  for (int i = 0; i < kRowTiles; ++i) {
    SS_UNROLL
    for (int j = 0; j < kColTiles; ++j) {
      SS_UNROLL
      for (int v = 0; v < kAccumulators; ++v) {
        own[sum_place<Shape>(i * kTile + accumulator_row(v), j * kTile + accumulator_col(v))] =
            bits_as<std::int32_t>(sums[i][j].value[v]);
      }
    }
  }
  sync_warp();  // this warp's sums are there
  const bool in_pairs = a.plan.n_splits == 1 && is_gated(a.epilogue);
  const int n_cols = in_pairs ? Shape::kWarpCols / 2 : Shape::kWarpCols;
  for (int at = lane(); at < Shape::kWarpRows * n_cols; at += kWarpSize) {
    const int warp_row = at / n_cols;
    const int warp_col = (in_pairs ? 2 : 1) * (at % n_cols);
    const int row = first_row + warp() / Shape::kAcross * Shape::kWarpRows + warp_row;
    const int output = first_output + warp() % Shape::kAcross * Shape::kWarpCols + warp_col;
    if (row >= n_rows || output >= a.weight.n_rows) continue;
    const std::int32_t* const place = own + sum_place<Shape>(warp_row, warp_col);
    if (a.plan.n_splits > 1) {
      a.partial[(std::int64_t{block_z()} * a.max_rows + row) * a.weight.n_rows + output] = *place;
    } else {
      const SumOf<Input> pair[2] = {bits_as<SumOf<Input>>(place[0]), bits_as<SumOf<Input>>(place[in_pairs ? 1 : 0])};
      store_sums<kQuantized>(a, row, output, pair);
    }
  }
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
SS_KERNEL(ShapeOf<kTiles>::kWarps* kWarpSize)
tiled_matmul_kernel(MatmulArguments a) {
  // The host launches tiles of warpgroups where the device has them, and nowhere else.
  if constexpr (kHasWarpgroups || !ShapeOf<kTiles>::kByWarpgroups) {
    make_tile<kTiles, kEncoding, kQuantized>(a);
  }
}

constexpr int kCombineThreads = 256;

/// Adds up what the blocks that share K left, always in the same order.
template <bool kQuantized>
SS_KERNEL(kCombineThreads)
combine_matmul_kernel(MatmulArguments a) {
  using Sum = std::conditional_t<kQuantized, std::int32_t, float>;
  const int row = block_y();
  const int width = is_gated(a.epilogue) ? 2 : 1;
  const int output = (block_x() * kCombineThreads + thread_x()) * width;
  if (row >= *a.n_rows || output >= a.weight.n_rows) return;
  Sum sums[2] = {};
  for (int split = 0; split < a.plan.n_splits; ++split) {
    const std::int32_t* const from = a.partial + (std::int64_t{split} * a.max_rows + row) * a.weight.n_rows + output;
    sums[0] += bits_as<Sum>(from[0]);
    if (width == 2) sums[1] += bits_as<Sum>(from[1]);
  }
  store_sums<kQuantized>(a, row, output, sums);
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
Result<void> launch_for(const LaunchContext& context, const MatmulArguments& arguments) {
  using Shape = ShapeOf<kTiles>;
  static_assert(Shape::kAhead >= 1 && Shape::kUnitsOfLine * kUnitBytes == Shape::kStepBytes);
  // Each warp of a warpgroup has one tile of rows, and all columns.
  static_assert(!Shape::kByWarpgroups ||
                (Shape::kAcross == 1 && Shape::kWarpRows == kTile && Shape::kWarps % kWarpgroupWarps == 0));
  static_assert(sizeof(Shared<Shape>) <= (Shape::kByWarpgroups ? kWarpgroupSharedBytes : 64 << 10));
  const auto blocks = [](std::int32_t n, int of) { return static_cast<std::uint32_t>(ceil_divide(n, of)); };
  SS_TRY_VOID(launch(context.stream, "tiled_matmul", tiled_matmul_kernel<kTiles, kEncoding, kQuantized>,
                     {.grid = {blocks(arguments.max_rows, Shape::kRows), blocks(arguments.weight.n_rows, Shape::kCols),
                               static_cast<std::uint32_t>(arguments.plan.n_splits)},
                      .threads = static_cast<std::uint32_t>(Shape::kWarps * context.warp_size),
                      .shared_bytes = sizeof(Shared<Shape>)},
                     arguments));
  if (arguments.plan.n_splits == 1) return {};
  const bool in_pairs = arguments.epilogue == Epilogue::kGatedSilu || arguments.epilogue == Epilogue::kGatedGelu;
  const std::int32_t n_values = in_pairs ? arguments.weight.n_rows / 2 : arguments.weight.n_rows;
  return launch(context.stream, "combine_matmul", combine_matmul_kernel<kQuantized>,
                {.grid = {blocks(n_values, kCombineThreads), static_cast<std::uint32_t>(arguments.max_rows)},
                 .threads = kCombineThreads},
                arguments);
}

template <MatmulTiles kTiles>
Result<void> launch_tiles(const LaunchContext& context, const MatmulArguments& arguments) {
  if (arguments.quantized_x != nullptr)
    return launch_for<kTiles, WeightEncoding::kInt8PerRow, true>(context, arguments);
  return with_encoding(arguments.weight.encoding, [&]<WeightEncoding kEncoding>() {
    return launch_for<kTiles, kEncoding, false>(context, arguments);
  });
}

}  // namespace

Result<void> launch_tiled_matmul(const LaunchContext& context, const MatmulArguments& arguments) {
  switch (arguments.plan.tiles) {
    case MatmulTiles::k16x64:
      return launch_tiles<MatmulTiles::k16x64>(context, arguments);
    case MatmulTiles::k64x64:
      return launch_tiles<MatmulTiles::k64x64>(context, arguments);
    case MatmulTiles::k128x128:
      return launch_tiles<MatmulTiles::k128x128>(context, arguments);
#if defined(SS_GPU_CUDA) || defined(SS_GPU_WARPGROUPS)
    case MatmulTiles::kWgmma128x128:
      return launch_tiles<MatmulTiles::kWgmma128x128>(context, arguments);
    case MatmulTiles::kWgmma128x256:
      return launch_tiles<MatmulTiles::kWgmma128x256>(context, arguments);
#else
    case MatmulTiles::kWgmma128x128:
    case MatmulTiles::kWgmma128x256:
      break;
#endif
  }
  return Error{ErrorCode::kInternal, "products of warpgroups on a target that has none"};
}

Result<void> launch_matmul(const LaunchContext& context, const MatmulArguments& arguments) {
  return arguments.max_rows <= kMatvecRows ? launch_matvec(context, arguments)
                                           : launch_tiled_matmul(context, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
