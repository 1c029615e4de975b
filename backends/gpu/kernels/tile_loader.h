#pragma once
// Brings the operands of a tile into shared memory for matmul_tile.h and streamed_tile.h. It defines the shapes of tiles, the stages that
// hold a step of K, and which part of a stage each thread loads.

#include "gpu/kernels/weight_code.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/portable/residency.h"
#include "gpu/portable/shared_copy.h"
#include "gpu/portable/warpgroup.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

inline constexpr int kVecBytes = 16;  ///< bytes of one vector copy

/// Compile-time shape of a block: its tile, how its warps split it, and how many stages of K shared memory holds.
template <MatmulTiles kTiles, int kWarpsAlongRows, int kWarpsAlongCols, int kStagesHeld>
struct BlockShape {
  static constexpr bool kByWarpgroups = by_warpgroups(kTiles);
  static constexpr bool kStreamsWeights = false;    ///< weights do not come to shared memory: streamed_tile.h
  static constexpr int kRows = block_rows(kTiles);  ///< rows of x
  static constexpr int kCols = block_cols(kTiles);  ///< rows of the weight
  static constexpr int kWarpsAcross = kWarpsAlongCols;
  static constexpr int kWarps = kWarpsAlongRows * kWarpsAlongCols;
  static constexpr int kWarpRows = kRows / kWarpsAlongRows;
  static constexpr int kWarpCols = kCols / kWarpsAlongCols;
  static constexpr int kStages = kStagesHeld;
  static constexpr int kStagesAhead = kStages - (kByWarpgroups ? 2 : 1);  ///< stages in flight
  static constexpr int kStepBytes = step_bytes(kTiles);
  static constexpr int kPlanSteps = 1;  ///< steps of a MatmulPlan that this block takes as one
  static constexpr int kVecsPerLine = kStepBytes / kVecBytes;
  /// Vectors of neighbouring rows lie in different banks: rows are padded by 16 bytes, or swizzled for wgmma.
  static constexpr int kLineBytes = kByWarpgroups ? kSwizzledLineBytes : kStepBytes + kVecBytes;
  static constexpr int kAlignment = kByWarpgroups ? kSwizzleAlignment : kVecBytes;
  static SS_DEVICE int vec_offset(int line, int vec) {
    return kByWarpgroups ? swizzled_offset(line, vec) : line * kLineBytes + vec * kVecBytes;
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
// Two warpgroups, each with 64 rows and all columns. There are as many stages as fit into the 227 KiB of shared memory that a block can
// have: seven take 224 KiB, four of the wider tile 192 KiB. More stages keep more of the weight in flight. On an H100 tiles of 128 x 128
// with seven stages had 0.99 to 1.07 times the speed of those with four.
template <>
struct ShapeOf<MatmulTiles::kWgmma128x128> : BlockShape<MatmulTiles::kWgmma128x128, 8, 1, 7> {};
template <>
struct ShapeOf<MatmulTiles::kWgmma128x256> : BlockShape<MatmulTiles::kWgmma128x256, 8, 1, 4> {};
template <>
struct ShapeOf<MatmulTiles::kStreamK128x256> : BlockShape<MatmulTiles::kStreamK128x256, 8, 1, 4> {};
// The sums of a pass (pass_sums.h) take 32 KiB beside their stages.
template <>
struct ShapeOf<MatmulTiles::kCluster128x128> : BlockShape<MatmulTiles::kCluster128x128, 8, 1, 6> {};
template <>
struct ShapeOf<MatmulTiles::kCluster128x256> : BlockShape<MatmulTiles::kCluster128x256, 8, 1, 4> {};

/// Blocks of these tiles that a multiprocessor of NVIDIA has registers for.
template <MatmulTiles kTiles>
inline constexpr int kResidentTiles = is_large(kTiles)                ? 1
                                      : kTiles == MatmulTiles::k64x64 ? 2
                                                                      : 3;

/// The rows of x of a stage: kStepBytes of each.
template <typename Shape>
struct XStage {
  alignas(Shape::kAlignment) std::byte x[Shape::kRows * Shape::kLineBytes];
};

/// One stage: kStepBytes of every row of both operands.
template <typename Shape>
struct TileStage : XStage<Shape> {
  alignas(Shape::kAlignment) std::byte weight[Shape::kCols * Shape::kLineBytes];
};

/// A stage without scales.
template <typename Shape>
using PlainStage = std::conditional_t<Shape::kStreamsWeights, XStage<Shape>, TileStage<Shape>>;

/// A stage with the scales of the weight's groups, for int8 products, whose group sums are scaled one by one.
inline constexpr int kGroupColumns = static_cast<int>(kScaleGroupSize);
template <typename Shape>
struct ScaledStage : TileStage<Shape> {
  static constexpr int kGroups = Shape::kStepBytes / kGroupColumns;
  float scales[kGroups][Shape::kCols];
};

/// A stage with the scales of the group of kFp8GroupSize columns that it lies in, for kFp8Group128.
template <typename Shape>
struct WideStage : PlainStage<Shape> {
  static constexpr int kStepsPerGroup = static_cast<int>(kFp8GroupSize) * 2 / Shape::kStepBytes;
  float weight_scales[Shape::kCols];
  float x_scales[Shape::kRows];
};

/// Whether a product needs ScaledStage.
template <WeightEncoding kEncoding, bool kQuantized>
inline constexpr bool kScalesGroups = kQuantized ? kHasGroups<kEncoding> : false;

template <typename Shape, WeightEncoding kEncoding, bool kQuantized>
using StageOf =
    std::conditional_t<kHasWideGroups<kEncoding>, WideStage<Shape>,
                       std::conditional_t<kScalesGroups<kEncoding, kQuantized>, ScaledStage<Shape>, PlainStage<Shape>>>;

/// Shared memory of a block: the stages and, after the last step, the sums of each warp in their place.
template <typename Shape, typename Stage>
union TileShared {
  Stage stage[Shape::kStages];
  std::int32_t sums[Shape::kWarps][Shape::kWarpRows * Shape::kWarpCols];  ///< bits of f32, or int32
};

/// Index of a warp's sum [row, col]: groups of four columns are XOR-swizzled by row against bank conflicts.
template <typename Shape>
SS_DEVICE int sum_index(int row, int col) {
  constexpr unsigned kGroups = Shape::kWarpCols / 4;
  return row * Shape::kWarpCols + (col ^ static_cast<int>(static_cast<unsigned>(row) % kGroups) * 4);
}

/// Words of eight values as they are stored.
template <WeightEncoding kEncoding>
inline constexpr int kWordsOfEight = kEncoding == WeightEncoding::kF32 ? 8
                                     : kIsFourBit<kEncoding>           ? 1
                                     : kIsByte<kEncoding>              ? 2
                                                                       : 4;

/// Eight values of a weight that is not in blocks, with the scale of their group, rounded to BF16. `words`: kWordsOfEight words. `vec`: the
/// place of the values in their chunk, in vectors of eight.
template <WeightEncoding kEncoding>
SS_DEVICE Chunk narrow_words(const std::uint32_t* words, const ChunkGroup<kEncoding>& group, int vec) {
  if constexpr (kEncoding == WeightEncoding::kBf16) {
    return {.word = {words[0], words[1], words[2], words[3]}};
  } else if constexpr (kIsE4m3<kEncoding>) {
    return e4m3_to_bf16(words[0], words[1]);
  } else {
    float values[8];
    SS_UNROLL
    for (int w = 0; w < kWordsOfEight<kEncoding>; ++w) {
      if constexpr (kEncoding == WeightEncoding::kF32) {
        values[w] = bits_as<float>(words[w]);
      } else if constexpr (kIsInt8<kEncoding>) {
        unpack_int8(words[w], values + 4 * w);
      } else if constexpr (kIsInt4<kEncoding>) {
        unpack_int4(words[w], values, group.addends());
      } else if constexpr (kIsE2m1<kEncoding>) {
        unpack_e2m1(words[w], values);
      } else {
        values[2 * w] = widen(F16{static_cast<std::uint16_t>(words[w])});
        values[2 * w + 1] = widen(F16{static_cast<std::uint16_t>(words[w] >> 16)});
      }
    }
    SS_UNROLL
    for (int i = 0; i < 8; ++i) values[i] = group.scaled(values[i], vec * 8 / kSpanValues<kEncoding>);
    return narrow_vec(values);
  }
}

/// One 16-byte vector of a tile (as BF16 or int8) in the weight's stored encoding, in registers between load and store.
template <WeightEncoding kEncoding, bool kQuantized>
struct WeightVec {
  static constexpr int kWords = kQuantized ? 4 : kWordsOfEight<kEncoding>;
  static constexpr bool kNoConversion = kEncoding == WeightEncoding::kBf16 || kQuantized;
  struct alignas(kWords < 4 ? kWords * 4 : 16) Words {
    std::uint32_t word[kWords];
  } words = {};
  ChunkGroup<kEncoding> group = {};

  /// Loads vector `vec` of a row: values [vec * n, vec * n + n), where n values of the tile's type are 16 bytes.
  SS_DEVICE void load(const WeightView& weight, int row, int vec) {
    words = load_words<Words>(weight.values + std::int64_t{row} * weight.row_bytes + vec * std::int64_t{sizeof(Words)});
    if constexpr (kHasGroups<kEncoding> && !kQuantized) group.load(weight, row, vec * 8);
  }
  /// The vector in the type that the tile multiplies. `weight` and `vec` are what was passed to load(), or for `vec` its remainder by 4.
  [[nodiscard]] SS_DEVICE Chunk narrowed(const WeightView& /*weight*/, [[maybe_unused]] int vec) const {
    if constexpr (kNoConversion) {
      return bits_as<Chunk>(words);
    } else {
      return narrow_words<kEncoding>(words.word, group,
                                     vec % (kChunkValues<kEncoding> < 8 ? 1 : kChunkValues<kEncoding> / 8));
    }
  }
};

/// The same for all encodings in blocks, whose form is read from the weight.
template <>
struct WeightVec<kAnyBlocks, false> {
  static constexpr bool kNoConversion = false;
  BlockVec stored = {};

  SS_DEVICE void load(const WeightView& weight, int row, int vec) { stored.load(weight, row, vec); }
  [[nodiscard]] SS_DEVICE Chunk narrowed(const WeightView& weight, int vec) const {
    float values[8];
    stored.unpack(weight.blocks, without_history(vec), values);
    return narrow_vec(values);
  }
};

/// Maps the lines of a block's tile to consecutive rows of an operand, up to `end`.
struct ContiguousRows {
  int first;
  int end;
  /// Row of line `line`, which is the u-th that this thread loads; -1: past the end.
  SS_DEVICE int of(int, int line) const { return by_line(line); }
  /// The same for a thread that does not load the line.
  SS_DEVICE int by_line(int line) const { return first + line < end ? first + line : -1; }
};

/// This thread's part in loading one operand's stage into shared memory. Operands that need no conversion are copied
/// asynchronously where the target can; everything else passes through registers, loaded by fetch() before a stage is
/// multiplied and written by store() after it.
template <typename Shape, int kLines, WeightEncoding kEncoding, bool kQuantized>
struct TileLoader {
  using Vec = WeightVec<kEncoding, kQuantized>;
  static constexpr int kThreads = Shape::kWarps * kWarpSize;
  static constexpr int kVecsPerLine = Shape::kVecsPerLine;
  static constexpr bool kAsync = kHasAsyncCopies && Vec::kNoConversion;
  static constexpr int kVecs = (kLines * kVecsPerLine + kThreads - 1) / kThreads;
  Vec held[kAsync ? 1 : kVecs];

  /// Rows outside of the operand and columns past the last one become zeros.
  template <typename Rows>
  SS_DEVICE void fetch(const WeightView& operand, const Rows& rows, int step, std::byte* to) {
    const int n_vecs = operand.padded_cols * static_cast<int>(kQuantized ? 1 : 2) / kVecBytes;
    SS_UNROLL
    for (int u = 0; u < kVecs; ++u) {
      const int at = thread_x() + u * kThreads;
      if (kLines * kVecsPerLine % kThreads != 0 && at >= kLines * kVecsPerLine) break;
      const int row = rows.of(u, at / kVecsPerLine);
      const int vec = step * kVecsPerLine + at % kVecsPerLine;
      const bool in_range = row >= 0 && vec < n_vecs;
      if constexpr (kAsync) {
        const std::byte* const from = operand.values + (in_range ? std::int64_t{row} * operand.row_bytes : 0);
        copy_to_shared(to + Shape::vec_offset(at / kVecsPerLine, at % kVecsPerLine),
                       from + (in_range ? vec : 0) * kVecBytes, in_range);
      } else {
        held[u] = Vec();
        if (in_range) held[u].load(operand, row, vec);
      }
    }
  }
  SS_DEVICE void store([[maybe_unused]] const WeightView& operand, std::byte* to) {
    if constexpr (!kAsync) {
      SS_UNROLL
      for (int u = 0; u < kVecs; ++u) {
        const int at = thread_x() + u * kThreads;
        if (kLines * kVecsPerLine % kThreads != 0 && at >= kLines * kVecsPerLine) break;
        const int vec = at % kVecsPerLine;  // of the step
        static_assert(kVecsPerLine % 4 == 0);
        store_chunk(to + Shape::vec_offset(at / kVecsPerLine, vec), held[u].narrowed(operand, vec));
        // Keeps the compiler from decoding several vectors at once, for which gfx1100 has too few registers.
        if constexpr (kIsBlocks<kEncoding>) sync_warp();
      }
    }
  }
};

/// This thread's part in loading the scales of a stage's groups, one per weight row and group, through registers.
template <typename Shape>
struct ScaleLoader {
  using Stage = ScaledStage<Shape>;
  static constexpr int kThreads = Shape::kWarps * kWarpSize;
  static constexpr int kScales = Stage::kGroups * Shape::kCols;
  static constexpr int kEach = (kScales + kThreads - 1) / kThreads;
  float held[kEach];

  /// Rows and columns outside of the weight get a scale of 0.
  SS_DEVICE void fetch(const WeightView& weight, const ContiguousRows& rows, int step) {
    SS_UNROLL
    for (int u = 0; u < kEach; ++u) {
      const int at = thread_x() + u * kThreads;
      const int row = rows.of(u, at / Stage::kGroups);
      const int col = (step * Stage::kGroups + at % Stage::kGroups) * kGroupColumns;
      held[u] = at < kScales && row >= 0 && col < weight.padded_cols ? group_scale(weight, row, col) : 0.0F;
    }
  }
  SS_DEVICE void store(Stage& to) const {
    SS_UNROLL
    for (int u = 0; u < kEach; ++u) {
      const int at = thread_x() + u * kThreads;
      if (at < kScales) to.scales[at % Stage::kGroups][at / Stage::kGroups] = held[u];
    }
  }
};

/// This thread's part in loading the scales of a stage's group: of one row of the weight or of x, through a register.
template <typename Shape>
class WideScaleLoader {
 public:
  /// `x_scales`: [rows of x, groups], or null for scales of 1.
  template <typename Rows>
  SS_DEVICE WideScaleLoader(const WeightView& weight, const ContiguousRows& weight_rows, const float* x_scales,
                            const Rows& x_rows) {
    static_assert(Shape::kCols + Shape::kRows <= Shape::kWarps * kWarpSize);
    const bool is_of_weight = thread_x() < Shape::kCols;
    if (thread_x() >= Shape::kCols + Shape::kRows) return;
    const int row = is_of_weight ? weight_rows.by_line(thread_x()) : x_rows.by_line(thread_x() - Shape::kCols);
    const float* const scales = is_of_weight ? weight.wide_scales : x_scales;
    if (row >= 0 && scales != nullptr) from_ = scales + std::int64_t{row} * n_wide_groups_on_device(weight.n_cols);
  }
  SS_DEVICE void fetch(int step) {
    if (from_ != nullptr) held_ = from_[step / WideStage<Shape>::kStepsPerGroup];
  }
  SS_DEVICE void store(WideStage<Shape>& to) const {
    if (thread_x() < Shape::kCols) {
      to.weight_scales[thread_x()] = held_;
    } else if (thread_x() < Shape::kCols + Shape::kRows) {
      to.x_scales[thread_x() - Shape::kCols] = held_;
    }
  }

 private:
  /// The scales of the row; null: there are none, or the row is outside of the operand, where sums are never stored.
  const float* from_ = nullptr;
  float held_ = 1.0F;
};

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
