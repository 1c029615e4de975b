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
// wgmma (warpgroup.h). A wgmma still reads its stage during the next step, so one stage fewer can be prefetched.

#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/weight_code.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/portable/shared_copy.h"
#include "gpu/portable/warpgroup.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

inline constexpr int kVecBytes = 16;  ///< bytes of one vector copy

/// Compile-time shape of a block: its tile, how its warps split it, and how many stages of K shared memory holds.
template <MatmulTiles kTiles, int kWarpsAlongRows, int kWarpsAlongCols, int kStagesHeld>
struct BlockShape {
  static constexpr bool kByWarpgroups = by_warpgroups(kTiles);
  static constexpr int kRows = block_rows(kTiles);  ///< rows of x
  static constexpr int kCols = block_cols(kTiles);  ///< rows of the weight
  static constexpr int kWarpsAcross = kWarpsAlongCols;
  static constexpr int kWarps = kWarpsAlongRows * kWarpsAlongCols;
  static constexpr int kWarpRows = kRows / kWarpsAlongRows;
  static constexpr int kWarpCols = kCols / kWarpsAlongCols;
  static constexpr int kStages = kStagesHeld;
  static constexpr int kStagesAhead = kStages - (kByWarpgroups ? 2 : 1);  ///< stages in flight
  static constexpr int kStepBytes = step_bytes(kTiles);
  static constexpr int kVecsPerLine = kStepBytes / kVecBytes;
  /// Vectors of neighbouring rows lie in different banks: rows are padded by 16 bytes, or swizzled for wgmma.
  static constexpr int kLineBytes = kByWarpgroups ? kSwizzledLineBytes : kStepBytes + kVecBytes;
  static constexpr int kAlignment = kByWarpgroups ? kSwizzleAlignment : kVecBytes;
  static SS_DEVICE int vec_offset(int line, int vec) {
    return kByWarpgroups ? swizzled_offset(line, vec) : line * kLineBytes + vec * kVecBytes;
  }
};
/// Stages of the warpgroups' tile of 128 x 128: four are 128 KiB of the 227 KiB that a block can have, seven 224 KiB. A build
/// with another number shows on hardware which is faster.
#if !defined(SS_GPU_WGMMA_STAGES)
#define SS_GPU_WGMMA_STAGES 4
#endif

template <MatmulTiles kTiles>
struct ShapeOf;
template <>
struct ShapeOf<MatmulTiles::k16x64> : BlockShape<MatmulTiles::k16x64, 1, 4, 4> {};
template <>
struct ShapeOf<MatmulTiles::k64x64> : BlockShape<MatmulTiles::k64x64, 2, 2, 4> {};
template <>
struct ShapeOf<MatmulTiles::k128x128> : BlockShape<MatmulTiles::k128x128, 2, 4, 3> {};
// Two warpgroups, each with 64 rows and all columns.
template <>
struct ShapeOf<MatmulTiles::kWgmma128x128> : BlockShape<MatmulTiles::kWgmma128x128, 8, 1, SS_GPU_WGMMA_STAGES> {};
template <>
struct ShapeOf<MatmulTiles::kWgmma128x256> : BlockShape<MatmulTiles::kWgmma128x256, 8, 1, 4> {};

/// One stage: kStepBytes of every row of both operands.
template <typename Shape>
struct TileStage {
  alignas(Shape::kAlignment) std::byte x[Shape::kRows * Shape::kLineBytes];
  alignas(Shape::kAlignment) std::byte weight[Shape::kCols * Shape::kLineBytes];
};

/// A stage with the scales of the weight's groups, for int8 products, whose group sums are scaled one by one.
inline constexpr int kGroupColumns = static_cast<int>(kScaleGroupSize);
template <typename Shape>
struct ScaledStage : TileStage<Shape> {
  static constexpr int kGroups = Shape::kStepBytes / kGroupColumns;
  float scales[kGroups][Shape::kCols];
};

/// A stage with the scales of the group of kFp8GroupSize columns that it lies in, for kFp8Group128.
template <typename Shape>
struct WideStage : TileStage<Shape> {
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
                       std::conditional_t<kScalesGroups<kEncoding, kQuantized>, ScaledStage<Shape>, TileStage<Shape>>>;

/// Shared memory of a block: the stages, and after the last one the sums of each warp in their place.
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

/// One 16-byte vector of a tile (as BF16 or int8) in the weight's stored encoding, in registers between load and store.
template <WeightEncoding kEncoding, bool kQuantized>
struct WeightVec {
  static constexpr int kWords = kEncoding == WeightEncoding::kF32 ? 8
                                : kIsFourBit<kEncoding>           ? 1
                                : kIsByte<kEncoding>              ? (kQuantized ? 4 : 2)
                                                                  : 4;
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
  [[nodiscard]] SS_DEVICE Chunk narrowed(const WeightView& /*weight*/, int /*vec*/) const {
    if constexpr (kNoConversion) {
      return bits_as<Chunk>(words);
    } else if constexpr (kIsE4m3<kEncoding>) {
      return e4m3_to_bf16(words.word[0], words.word[1]);
    } else {
      float values[8];
      SS_UNROLL
      for (int w = 0; w < kWords; ++w) {
        if constexpr (kEncoding == WeightEncoding::kF32) {
          values[w] = bits_as<float>(words.word[w]);
        } else if constexpr (kIsInt8<kEncoding>) {
          unpack_int8(words.word[w], values + 4 * w);
        } else if constexpr (kIsInt4<kEncoding>) {
          unpack_int4(words.word[w], values, group.addends());
        } else if constexpr (kIsE2m1<kEncoding>) {
          unpack_e2m1(words.word[w], values);
        } else {
          values[2 * w] = widen(F16{static_cast<std::uint16_t>(words.word[w])});
          values[2 * w + 1] = widen(F16{static_cast<std::uint16_t>(words.word[w] >> 16)});
        }
      }
      SS_UNROLL
      for (int i = 0; i < 8; ++i) values[i] = group.scaled(values[i]);
      return narrow_vec(values);
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
  const float* from_ =
      nullptr;  ///< the row's; null: rows outside of the operand, whose sums nobody stores, or no scales
  float held_ = 1.0F;
};

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

/// Starts the wgmma of one stage for this warpgroup's sums, 128 columns at a time, as one commit group.
template <typename Shape, typename Input, int kColTiles>
SS_DEVICE void begin_step(const std::byte* x, const std::byte* weight, Accumulator<Input> (&sums)[kColTiles]) {
  constexpr int kTilesPerWgmma = 8;
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
  using Shape = ShapeOf<kTiles>;
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
  TileLoader<Shape, Shape::kCols, kEncoding, kQuantized> weight_loader;
  [[maybe_unused]] ScaleLoader<Shape> scale_loader;
  // What goes through registers reaches shared memory by ordinary stores, which are always fenced.
  constexpr bool kAllCopied = decltype(x_loader)::kAsync && decltype(weight_loader)::kAsync;
  [[maybe_unused]] constexpr bool kFencesStage = Shape::kByWarpgroups && (kFencesCopies || !kAllCopied);
  const ContiguousRows weight_rows{first_output, weight.n_rows};
  struct Nothing {
    SS_DEVICE Nothing(const WeightView&, const ContiguousRows&, const float*, const Rows&) {}
  };
  [[maybe_unused]] std::conditional_t<kWide, WideScaleLoader<Shape>, Nothing> wide_loader(weight, weight_rows, x_scales,
                                                                                          x_rows);
  [[maybe_unused]] Accumulator<Bf16> group_sums[kWide ? kRowTiles : 1][kWide ? kColTiles : 1] = {};
  const auto fetch = [&](int step) {
    auto& stage = shared.stage[step % Shape::kStages];
    weight_loader.fetch(weight, weight_rows, step, stage.weight);
    x_loader.fetch(x_view, x_rows, step, stage.x);
    if constexpr (kScaled) scale_loader.fetch(weight, weight_rows, step);
    if constexpr (kWide) wide_loader.fetch(step);
  };
  const auto store = [&](int step) {
    auto& stage = shared.stage[step % Shape::kStages];
    x_loader.store(x_view, stage.x);  // first, so that its registers are free when weights are decoded
    weight_loader.store(weight, stage.weight);
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
  for (int step = steps.begin; step < steps.end; ++step) {
    wait_for_copies<kStagesAhead - 1>();
    if constexpr (kFencesStage) fence_proxy_async();
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
  if constexpr (Shape::kByWarpgroups) wait_for_products<0>(sums[0]);
  sync_block();  // all reads of the stages are done
  // The sums go through shared memory, so that neighbouring lanes store neighbouring outputs whatever the fragment layout
  // is. All of them at once: functions called by the epilogue would spill sums that are still in registers.
  std::int32_t* const own = shared.sums[warp()];
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
