#pragma once
// A tile of a product on the matrix cores, as a block makes it: in steps of 64 bytes along K, with the next steps'
// inputs under way while this one is multiplied. Whatever the weight's encoding, the matrix cores see BF16; int8 is
// exact in it, and a row's scale comes in at the end, a group's before it. int8 by int8 is summed in int32; where 32
// columns share a scale, a group's sum is, and the groups' sums are scaled and added in f32. Which rows of x are
// multiplied, and what becomes of the sums, is the kernel's that includes this.
//
// A warp multiplies from fragments that it loads, or four warps together straight from shared memory (warpgroup.h), in
// steps of 128 bytes. These products go on into the next step, so that the slot to fill next is the one before the
// last.

#include "gpu/kernels/weight_code.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/portable/shared_copy.h"
#include "gpu/portable/warpgroup.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

inline constexpr int kUnitBytes = 16;  ///< what a thread brings at once

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

/// One step of the operands.
template <typename Shape>
struct TileSlot {
  alignas(Shape::kAlignment) std::byte x[Shape::kRows * Shape::kLineBytes];
  alignas(Shape::kAlignment) std::byte weight[Shape::kCols * Shape::kLineBytes];
};

/// And the scales of the weight's groups, where sums of int8 products need them apart.
inline constexpr int kGroupColumns = static_cast<int>(kScaleGroupSize);
template <typename Shape>
struct ScaledSlot : TileSlot<Shape> {
  static constexpr int kGroups = Shape::kStepBytes / kGroupColumns;
  float scales[kGroups][Shape::kCols];
};

/// Whether a product has such scales.
template <WeightEncoding kEncoding, bool kQuantized>
inline constexpr bool kScalesGroups = kQuantized ? kHasGroups<kEncoding> : false;

/// The slots of the steps; when they are used up, the sums of each warp take their place.
template <typename Shape, bool kScaled>
union TileShared {
  std::conditional_t<kScaled, ScaledSlot<Shape>, TileSlot<Shape>> slot[Shape::kSlots];
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
    words =
        load_words<Words>(weight.values + std::int64_t{row} * weight.row_bytes + unit * std::int64_t{sizeof(Words)});
    if constexpr (kHasGroups<kEncoding> && !kQuantized) scale = group_scale(weight, row, unit * 8);
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

/// Which rows of an operand the lines of a block's tile are: neighbours, up to `end`.
struct NeighbourRows {
  int first;
  int end;
  /// Of line `line`, which is the u-th that this thread brings; -1: none.
  SS_DEVICE int of(int, int line) const { return first + line < end ? first + line : -1; }
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

  /// Rows that are none of the operand's, and columns behind the last, are zeros.
  template <typename Rows>
  SS_DEVICE void fetch(const WeightView& operand, const Rows& rows, int step, std::byte* to) {
    const int n_units = operand.padded_cols * static_cast<int>(kQuantized ? 1 : 2) / kUnitBytes;
    SS_UNROLL
    for (int u = 0; u < kUnits; ++u) {
      const int at = thread_x() + u * kThreads;
      if (kLines * kUnitsOfLine % kThreads != 0 && at >= kLines * kUnitsOfLine) break;
      const int row = rows.of(u, at / kUnitsOfLine);
      const int unit = step * kUnitsOfLine + at % kUnitsOfLine;
      const bool in_range = row >= 0 && unit < n_units;
      if constexpr (kAsync) {
        const std::byte* const from = operand.values + (in_range ? std::int64_t{row} * operand.row_bytes : 0);
        copy_to_shared(to + Shape::unit_place(at / kUnitsOfLine, at % kUnitsOfLine),
                       from + (in_range ? unit : 0) * kUnitBytes, in_range);
      } else {
        held[u] = Carried();
        if (in_range) held[u].load(operand, row, unit);
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

/// This thread's part in bringing the scales of a step's groups, one a row of the weight and group: as Carrier, through
/// registers.
template <typename Shape>
struct ScaleCarrier {
  using Slot = ScaledSlot<Shape>;
  static constexpr int kThreads = Shape::kWarps * kWarpSize;
  static constexpr int kScales = Slot::kGroups * Shape::kCols;
  static constexpr int kEach = (kScales + kThreads - 1) / kThreads;
  float held[kEach];

  /// The same of rows and columns that the weight does not have.
  SS_DEVICE void fetch(const WeightView& weight, const NeighbourRows& rows, int step) {
    SS_UNROLL
    for (int u = 0; u < kEach; ++u) {
      const int at = thread_x() + u * kThreads;
      const int row = rows.of(u, at / Slot::kGroups);
      const int col = (step * Slot::kGroups + at % Slot::kGroups) * kGroupColumns;
      held[u] = at < kScales && row >= 0 && col < weight.padded_cols ? group_scale(weight, row, col) : 0.0F;
    }
  }
  SS_DEVICE void store(Slot& to) const {
    SS_UNROLL
    for (int u = 0; u < kEach; ++u) {
      const int at = thread_x() + u * kThreads;
      if (at < kScales) to.scales[at % Slot::kGroups][at / Slot::kGroups] = held[u];
    }
  }
};

/// A sum of int32 that starts at these bits can be read as an f32 that is larger by kWholeBias, 3 * 2^22: GPUs convert
/// at a fraction of the rate at which they add. Exact up to 2^22, and a group's sum stays below 2^19.
inline constexpr std::int32_t kWholeBiasBits = 0x4b400000;
inline constexpr float kWholeBias = 12582912.0F;
static_assert(kGroupColumns * 128 * 128 < 1 << 22);

/// Adds one step's products to this warp's sums, each group's in int32 first.
template <typename Shape, int kRowTiles, int kColTiles>
SS_DEVICE void multiply_groups(const ScaledSlot<Shape>& slot, Accumulator<Bf16> (&sums)[kRowTiles][kColTiles]) {
  using Input = std::int8_t;
  constexpr int kStride = Shape::kLineBytes;
  constexpr int kParts = kGroupColumns / kTileDepth<Input>;
  static_assert(kParts * kTileDepth<Input> == kGroupColumns);
  const int first_col = warp() % Shape::kAcross * Shape::kWarpCols;
  const auto* const a = reinterpret_cast<const Input*>(slot.x) + warp() / Shape::kAcross * Shape::kWarpRows * kStride;
  const auto* const b = reinterpret_cast<const Input*>(slot.weight) + first_col * kStride;
  SS_UNROLL
  for (int group = 0; group < ScaledSlot<Shape>::kGroups; ++group) {
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
        scales[j][v] = slot.scales[group][first_col + j * kTile + accumulator_col(v)];
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
        Accumulator<Input> whole;
        SS_UNROLL
        for (int v = 0; v < kAccumulators; ++v) whole.value[v] = kWholeBiasBits;
        SS_UNROLL
        for (int part = 0; part < kParts; ++part) multiply(whole, rows[part], columns[j][part]);
        SS_UNROLL
        for (int v = 0; v < kAccumulators; ++v) {
          sums[i][j].value[v] += scales[j][v] * (bits_as<float>(whole.value[v]) - kWholeBias);
        }
      }
    }
  }
}

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

/// How a block brings its lines of x.
template <typename Shape, bool kQuantized>
using CarrierOfX =
    Carrier<Shape, Shape::kRows, kQuantized ? WeightEncoding::kInt8PerRow : WeightEncoding::kBf16, kQuantized>;

/// Steps [begin, end) along K.
struct StepRange {
  int begin;
  int end;
};

/// All of them.
template <typename Shape, bool kQuantized>
SS_DEVICE int steps_of(const WeightView& weight) {
  return (weight.padded_cols * static_cast<int>(kQuantized ? 1 : 2) + Shape::kStepBytes - 1) / Shape::kStepBytes;
}

/// Multiplies rows of x with the rows of the weight from `first_output` on, and calls store(line, output, sums) for
/// every output of every line; `in_pairs`: for every second output, with its sum and its neighbour's. x: as it is
/// multiplied, BF16 or int8, [rows, padded_cols of the weight]. Sums have no scales of rows yet.
template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized, typename Rows, typename Store>
SS_DEVICE void make_tile(const void* x, const Rows& x_rows, const WeightView& weight, int first_output,
                         const StepRange& steps, bool in_pairs, const Store& store_sum) {
  using Shape = ShapeOf<kTiles>;
  using Input = std::conditional_t<kQuantized, std::int8_t, Bf16>;
  constexpr bool kScaled = kScalesGroups<kEncoding, kQuantized>;
  using Sum = std::conditional_t<kQuantized, QuantizedSum<kEncoding>, float>;
  constexpr int kRowTiles = Shape::kWarpRows / kTile;
  constexpr int kColTiles = Shape::kWarpCols / kTile;
  const WeightView x_view{.values = static_cast<const std::byte*>(x),
                          .row_bytes = std::int64_t{weight.padded_cols} * static_cast<int>(sizeof(Input)),
                          .padded_cols = weight.padded_cols};
  auto& shared = shared_memory<TileShared<Shape, kScaled>>();
  // Sums that are scaled on the way are f32, as those of BF16 are.
  Accumulator<std::conditional_t<kScaled, Bf16, Input>> sums[kRowTiles][kColTiles] = {};
  CarrierOfX<Shape, kQuantized> of_x;
  Carrier<Shape, Shape::kCols, kEncoding, kQuantized> of_weight;
  [[maybe_unused]] ScaleCarrier<Shape> of_scales;
  const NeighbourRows weight_rows{first_output, weight.n_rows};
  const auto fetch = [&](int step) {
    auto& slot = shared.slot[step % Shape::kSlots];
    of_weight.fetch(weight, weight_rows, step, slot.weight);
    of_x.fetch(x_view, x_rows, step, slot.x);
    if constexpr (kScaled) of_scales.fetch(weight, weight_rows, step);
  };
  const auto store = [&](int step) {
    auto& slot = shared.slot[step % Shape::kSlots];
    of_weight.store(slot.weight);
    of_x.store(slot.x);
    if constexpr (kScaled) of_scales.store(slot);
  };
  constexpr int kAhead = Shape::kAhead;
  for (int step = steps.begin; step < steps.begin + kAhead; ++step) {
    if (step < steps.end) {
      fetch(step);
      store(step);
    }
    commit_copies();
  }
  for (int step = steps.begin; step < steps.end; ++step) {
    wait_for_copies<kAhead - 1>();
    if constexpr (Shape::kByWarpgroups) show_to_warpgroups();
    sync_block();  // this step has arrived, and nobody reads the slot that is filled next any more
    const bool more = step + kAhead < steps.end;
    if (more) fetch(step + kAhead);
    commit_copies();
    const auto& slot = shared.slot[step % Shape::kSlots];
    if constexpr (Shape::kByWarpgroups) {
      begin_step<Shape>(slot.x, slot.weight, sums[0]);
    } else if constexpr (kScaled) {
      multiply_groups<Shape>(slot, sums);
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
  const int n_cols = in_pairs ? Shape::kWarpCols / 2 : Shape::kWarpCols;
  for (int at = lane(); at < Shape::kWarpRows * n_cols; at += kWarpSize) {
    const int warp_row = at / n_cols;
    const int warp_col = (in_pairs ? 2 : 1) * (at % n_cols);
    const int output = first_output + warp() % Shape::kAcross * Shape::kWarpCols + warp_col;
    if (output >= weight.n_rows) continue;
    const std::int32_t* const place = own + sum_place<Shape>(warp_row, warp_col);
    const Sum pair[2] = {bits_as<Sum>(place[0]), bits_as<Sum>(place[in_pairs ? 1 : 0])};
    store_sum(warp() / Shape::kAcross * Shape::kWarpRows + warp_row, output, pair);
  }
}

/// Whether a block can make these tiles.
template <typename Shape>
constexpr bool is_sound() {
  // Each warp of a warpgroup has one tile of rows, and all columns.
  return Shape::kAhead >= 1 && Shape::kUnitsOfLine * kUnitBytes == Shape::kStepBytes &&
         (!Shape::kByWarpgroups ||
          (Shape::kAcross == 1 && Shape::kWarpRows == kTile && Shape::kWarps % kWarpgroupWarps == 0)) &&
         sizeof(TileShared<Shape, !Shape::kByWarpgroups>) <= (Shape::kByWarpgroups ? kWarpgroupSharedBytes : 64 << 10);
}

/// Calls call.template operator()<tiles, encoding, quantized>() for tiles, a weight and whether x is quantized: host
/// code that picks a kernel.
template <typename Call>
Result<void> with_tile_kernel(MatmulTiles tiles, WeightEncoding encoding, bool quantized, const Call& call) {
  const auto with = [&]<MatmulTiles kTiles>() -> Result<void> {
    static_assert(is_sound<ShapeOf<kTiles>>());
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
      return call.template operator()<kTiles, kEncoding, false>();
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
#else
    case MatmulTiles::kWgmma128x128:
    case MatmulTiles::kWgmma128x256:
      break;
#endif
  }
  return Error{ErrorCode::kInternal, "products of warpgroups on a target that has none"};
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
