#pragma once
// Matmul of many rows with Intel's Advanced Matrix Extensions, cut so that memory keeps up with the tiles:
//
//   c[m, n] (+)= sum_{k in slice} a[m, k] * w[n, k]
//
// One call multiplies a pair of weight tiles with several blocks of up to 32 rows, over a slice of the columns. The slice of the two weight
// tiles (32 KiB) stays in the first-level cache while all blocks are multiplied with it; activations stream from the second-level cache, by
// the load that does not displace what the first level holds (TILELOADDT1). The sums of a block with a pair of tiles are 32 x 32 values, 4
// KiB that are adjacent in memory, so that neither their lines nor those of the operands fall into few sets of a cache. Between two slices
// the sums stay in that memory.
//
// One core of a Xeon with AMX (2 MiB of second-level cache, November 2026) multiplies at 3.87 Tflop/s from registers. With operands that
// both stream from its second-level cache, which gives about 32 bytes a cycle, at most 1.9 are possible; this order reaches 3.0 where
// activations and sums are in that cache. With the plain load instead of TILELOADDT1 it reaches 2.2, because the activations then displace
// the weights.
//
// A weight that one BF16 number cannot hold is the sum of two pieces (unpack_pieces-inl.h), and a step multiplies both with the
// activations. Where an activation is the sum of two pieces as well (matmul_amx_pieces-inl.h), its second piece is multiplied with the
// first piece of the weight only. The product of the two second pieces, which is left out, is at most 2^-15 of the whole product. Steps
// with pieces load fewer operands for each product of tiles than other steps, because an operand is used for several products.
//
// Formats and the template parameters `Tiles` and `Product` are those of matmul_amx-inl.h. With pieces, the activations are packed as
//
//   [k / 32][n_rows][2][32]
//
// and unpack_pieces-inl.h says how weights are packed.
//
// The row blocks of one call differ by at most one row, and the tiles are configured for the largest, once for many calls. For a block that
// has one row less, the last line of its tile is whatever follows in memory: the next step, or the bytes after the activations. The sums of
// that line are never used.

#include "cpu/kernels/matmul_amx-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

static_assert(kAmxRows == kMaxRowBlock);
inline constexpr std::int64_t kTileBytes = std::int64_t{kTileLines} * kLineBytes;

/// Where the two weight tiles of a step begin.
struct StepTiles {
  const std::byte* first = nullptr;
  const std::byte* second = nullptr;
};

/// BF16 with weights in two pieces and activations in one or two.
template <int kPieces>
struct AmxBf16Pieces : AmxBf16 {
  static constexpr int kRowPieces = kPieces;
  static constexpr int kWeightPieces = 2;
};

/// Bytes of the activations of a row, and of a weight tile, that one step multiplies.
template <typename Product>
inline constexpr std::int64_t kStepRowBytes = std::int64_t{Product::kRowPieces} * kLineBytes;
template <typename Product>
inline constexpr std::int64_t kStepTileBytes = std::int64_t{Product::kWeightPieces} * kTileBytes;

/// Which operands are loaded before tiles are multiplied; the others are still in the registers.
enum class Loads : std::uint8_t { kBoth, kRows, kWeights };

/// Where the sums of a register lie within those of a block, in floats.
template <int kSum>
inline constexpr int kSumOffset = (kSum / 2) * int{kTileLines * kBlockSumStride} + (kSum % 2) * kTileRows;
static_assert(kSum00 == 0 && kSum01 == 1 && kSum10 == 2 && kSum11 == 3);
inline constexpr std::int64_t kSumStrideBytes = kBlockSumStride * 4;

/// Called before the first product of each register of sums. In most steps the registers keep their sums.
struct KeepSums {
  template <int kSum>
  void before_product() const {}
};
/// In the first step of a block, stores the sums of the block before and loads its own, or zeros. One register at a time between the
/// products takes less time than all of them between two blocks, when there is nothing to multiply.
template <typename Tiles>
struct SwitchSums {
  float* block_before = nullptr;  ///< null for the first block
  const float* block = nullptr;
  bool accumulate = false;
  template <int kSum>
  void before_product() const {
    if (block_before != nullptr) Tiles::template store<kSum>(block_before + kSumOffset<kSum>, kSumStrideBytes);
    if (accumulate) {
      Tiles::template load<kSum>(block + kSumOffset<kSum>, kSumStrideBytes);
    } else {
      Tiles::template zero<kSum>();
    }
  }
};

/// Multiplies one piece of the activations with one piece of the weights: 32 rows x 32 weight rows x 64 bytes of columns. Loads
/// alternate with products, because the first product needs only one operand of each side.
template <typename Tiles, typename Product, bool kTwoRowTiles, bool kTwoWeightTiles, Loads kLoads, typename Sums>
inline void multiply_pieces_of_step(const std::byte* x, const StepTiles& w, const Sums& sums) {
  constexpr bool kLoadsRows = kLoads != Loads::kWeights;
  constexpr bool kLoadsWeights = kLoads != Loads::kRows;
  constexpr std::int64_t kRowBytes = kStepRowBytes<Product>;
  if constexpr (kLoadsRows) Tiles::template stream_load<kRows0>(x, kRowBytes);
  if constexpr (kLoadsWeights) Tiles::template load<kWeights0>(w.first);
  sums.template before_product<kSum00>();
  Product::template dot<Tiles, kSum00, kRows0, kWeights0>();
  if constexpr (kTwoWeightTiles) {
    if constexpr (kLoadsWeights) Tiles::template load<kWeights1>(w.second);
    sums.template before_product<kSum01>();
    Product::template dot<Tiles, kSum01, kRows0, kWeights1>();
  }
  if constexpr (kTwoRowTiles) {
    if constexpr (kLoadsRows) Tiles::template stream_load<kRows1>(x + kTileLines * kRowBytes, kRowBytes);
    sums.template before_product<kSum10>();
    Product::template dot<Tiles, kSum10, kRows1, kWeights0>();
    if constexpr (kTwoWeightTiles) {
      sums.template before_product<kSum11>();
      Product::template dot<Tiles, kSum11, kRows1, kWeights1>();
    }
  }
}

/// Multiplies all pairs of pieces of one step. The second pieces of the activations are multiplied before their first pieces, which can
/// then stay in the registers for both pieces of the weights.
template <typename Tiles, typename Product, bool kTwoRowTiles, bool kTwoWeightTiles, typename Sums>
inline void multiply_step(const std::byte* x, const StepTiles& w, const Sums& sums) {
  const KeepSums keep;
  if constexpr (Product::kRowPieces == 2) {
    multiply_pieces_of_step<Tiles, Product, kTwoRowTiles, kTwoWeightTiles, Loads::kBoth>(x + kLineBytes, w, sums);
    multiply_pieces_of_step<Tiles, Product, kTwoRowTiles, kTwoWeightTiles, Loads::kRows>(x, w, keep);
  } else {
    multiply_pieces_of_step<Tiles, Product, kTwoRowTiles, kTwoWeightTiles, Loads::kBoth>(x, w, sums);
  }
  if constexpr (Product::kWeightPieces == 2) {
    multiply_pieces_of_step<Tiles, Product, kTwoRowTiles, kTwoWeightTiles, Loads::kWeights>(
        x, {w.first + kTileBytes, w.second + kTileBytes}, keep);
  }
}

template <typename Tiles, bool kTwoRowTiles, bool kTwoWeightTiles>
inline void store_sums(float* c) {
  Tiles::template store<kSum00>(c + kSumOffset<kSum00>, kSumStrideBytes);
  if constexpr (kTwoWeightTiles) Tiles::template store<kSum01>(c + kSumOffset<kSum01>, kSumStrideBytes);
  if constexpr (kTwoRowTiles) Tiles::template store<kSum10>(c + kSumOffset<kSum10>, kSumStrideBytes);
  if constexpr (kTwoRowTiles && kTwoWeightTiles) {
    Tiles::template store<kSum11>(c + kSumOffset<kSum11>, kSumStrideBytes);
  }
}

/// What the steps of a call prefetch: into the second-level cache the next slices of both weight tiles and the rows that the epilogue will
/// write, which are too far apart for the hardware to foresee; into the first the sums of the next block. All of it changes in registers
/// only: a load of a variable would wait behind the loads of tiles, and each step for the one before.
class StepPrefetch {
 public:
  StepPrefetch(const BlockArgs& args, std::int64_t n_steps)
      : next_(args.next_tiles[0]),
        end_(next_ + args.next_bytes),
        second_(args.next_tiles[1] == nullptr ? 0 : args.next_tiles[1] - args.next_tiles[0]),
        n_weight_lines_(lines_per_step(args.next_bytes, n_steps * args.n_blocks)),
        n_sum_lines_(lines_per_step(kBlockSums * 4, n_steps)),
        n_rows_((args.outputs.end_row - args.outputs.begin_row + n_steps - 1) / n_steps),
        row_bytes_(args.outputs.row_bytes),
        stride_bytes_(args.outputs.stride_bytes) {}

  /// sums_of_next: of the block after this one. rows: the first of this block that is prefetched.
  void begin_block(const float* sums_of_next, const std::byte* rows) {
    sums_ = reinterpret_cast<const std::byte*>(sums_of_next);
    row_ = rows;
  }
  void next_step() {
    if (next_ < end_) {
      for (std::int64_t i = 0; i < n_weight_lines_; ++i, next_ += kLineBytes) {
        prefetch_far(next_);
        prefetch_far(next_ + second_);
      }
    }
    for (std::int64_t i = 0; i < n_sum_lines_; ++i, sums_ += kLineBytes) prefetch(sums_);
    for (std::int64_t i = 0; i < n_rows_; ++i, row_ += stride_bytes_) {
      for (std::int64_t at = 0; at < row_bytes_; at += kLineBytes) prefetch_far(row_ + at);
    }
  }

 private:
  static std::int64_t lines_per_step(std::int64_t bytes, std::int64_t n_steps) {
    return ((bytes + kLineBytes - 1) / kLineBytes + n_steps - 1) / n_steps;
  }
  const std::byte* next_;
  const std::byte* end_;
  std::int64_t second_;  ///< from a line of the first tile to that of the second
  std::int64_t n_weight_lines_;
  std::int64_t n_sum_lines_;
  std::int64_t n_rows_;
  std::int64_t row_bytes_;
  std::int64_t stride_bytes_;
  const std::byte* sums_ = nullptr;
  const std::byte* row_ = nullptr;
};

template <typename Tiles, typename Product, bool kTwoRowTiles, bool kTwoWeightTiles>
void multiply_blocks_of(const BlockArgs& args) {
  constexpr std::int64_t kStepBytes = kStepTileBytes<Product>;
  const std::int64_t n_whole = args.slice_bytes / kStepBytes;
  const std::int64_t left = args.slice_bytes - n_whole * kStepBytes;
  // Columns that do not fill a step are read from a copy that is padded with zeros. After them comes another tile, and a NaN in it times a
  // zero of the activations would be a NaN. Pieces always fill a step.
  alignas(64) std::byte padded[2 * kStepBytes];
  if (left > 0) {
    __builtin_memset(padded, 0, sizeof(padded));
    for (int t = 0; t < (kTwoWeightTiles ? 2 : 1); ++t) {
      __builtin_memcpy(padded + t * kStepBytes, args.tiles[t] + n_whole * kStepBytes, static_cast<std::size_t>(left));
    }
  }
  // If there is one tile only, the second is not read: no offset may be added to a null pointer.
  const std::byte* const first = args.tiles[0];
  const std::int64_t second = kTwoWeightTiles ? args.tiles[1] - first : 0;
  const std::byte* const end = first + n_whole * kStepBytes;
  StepPrefetch prefetch(args, n_whole + (left > 0 ? 1 : 0));
  const std::byte* rows = args.outputs.first + args.outputs.begin_row * args.outputs.stride_bytes;
  SwitchSums<Tiles> sums{.accumulate = args.accumulate};
  for (int block = 0; block < args.n_blocks; ++block) {
    const std::byte* x = args.blocks[block].rows;
    const std::int64_t step_bytes = std::int64_t{args.blocks[block].n_rows} * kStepRowBytes<Product>;
    float* const c = args.c + block * kBlockSums;
    sums.block = c;
    prefetch.begin_block(c + kBlockSums, rows);
    rows += args.blocks[block].n_rows * args.outputs.stride_bytes;
    const std::byte* w = first;
    if (w < end) {
      prefetch.next_step();
      multiply_step<Tiles, Product, kTwoRowTiles, kTwoWeightTiles>(x, {w, w + second}, sums);
      for (w += kStepBytes, x += step_bytes; w < end; w += kStepBytes, x += step_bytes) {
        prefetch.next_step();
        multiply_step<Tiles, Product, kTwoRowTiles, kTwoWeightTiles>(x, {w, w + second}, KeepSums());
      }
      if (left > 0) {
        multiply_step<Tiles, Product, kTwoRowTiles, kTwoWeightTiles>(x, {padded, padded + kStepBytes}, KeepSums());
      }
    } else {
      multiply_step<Tiles, Product, kTwoRowTiles, kTwoWeightTiles>(x, {padded, padded + kStepBytes}, sums);
    }
    sums.block_before = c;
  }
  store_sums<Tiles, kTwoRowTiles, kTwoWeightTiles>(sums.block_before);
}

template <typename Tiles, typename Product>
void multiply_blocks(const BlockArgs& args) {
  const bool two_row_tiles = args.block_rows > kTileLines;
  const bool two_weight_tiles = args.tiles[1] != nullptr;
  if (two_row_tiles && two_weight_tiles) return multiply_blocks_of<Tiles, Product, true, true>(args);
  if (two_row_tiles) return multiply_blocks_of<Tiles, Product, true, false>(args);
  if (two_weight_tiles) return multiply_blocks_of<Tiles, Product, false, true>(args);
  multiply_blocks_of<Tiles, Product, false, false>(args);
}

/// Multiplies a single block of up to 32 rows with all tiles, for callers that have no group of blocks.
template <typename Tiles, typename Product>
void multiply_one_block(const TileArgs& args) {
  const ActivationBlock block = {static_cast<const std::byte*>(args.a), args.n_rows};
  alignas(64) float sums[kBlockSums];
  Tiles::configure(config_for(args.n_rows));
  for (std::int64_t tile = 0; tile < args.n_tiles; tile += 2) {
    const bool two = tile + 1 < args.n_tiles;
    const std::byte* const first = args.tiles + tile * args.tile_bytes;
    BlockArgs blocks;
    blocks.blocks = &block;
    blocks.n_blocks = 1;
    blocks.block_rows = args.n_rows;
    blocks.tiles[0] = first;
    blocks.tiles[1] = two ? first + args.tile_bytes : nullptr;
    blocks.slice_bytes = args.tile_bytes;
    blocks.c = sums;
    multiply_blocks<Tiles, Product>(blocks);
    for (int m = 0; m < args.n_rows; ++m) {
      float* const c = args.c + m * args.c_stride + tile * kTileRows;
      store(c, load(sums + m * kBlockSumStride));
      if (two) store(c + kTileRows, load(sums + m * kBlockSumStride + kTileRows));
    }
  }
  Tiles::release();
}

template <typename Tiles>
void configure_blocks(int block_rows) {
  Tiles::configure(config_for(block_rows));
}
template <typename Tiles>
void release_blocks() {
  Tiles::release();
  Tiles::fence_stores();
}

/// Converts the int32 sums of a block to f32 by result() of a policy, which subtracts what the offset of the activations has added.
template <typename OneRow>
void convert_sums(float* c, int n_rows, int n_tiles, const std::int32_t* row_sums) {
  for (int m = 0; m < n_rows; ++m) {
    for (int t = 0; t < n_tiles; ++t) {
      float* const at = c + m * kBlockSumStride + t * kTileRows;
      typename OneRow::Acc sum;
      __builtin_memcpy(&sum, at, kLineBytes);
      store(at, OneRow::result(sum, row_sums + t * kTileRows));
    }
  }
}

}  // namespace secondsource::cpu::SS_CPU_ISA
