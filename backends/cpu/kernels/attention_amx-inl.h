#pragma once
// Attention of up to 48 query rows over one block of up to 128 cached tokens in the tiles of Intel's Advanced Matrix
// Extensions. Formulas, shapes, scratch memory and aliasing: attention-inl.h and AttendArgs; both products are of BF16 and
// accumulate in f32.
//
//   scores[r, j] = sum_i q[r, i] * k[j, i]     left q [16 rows][32 dims],      right k [32 dims / 2][16 tokens][2]
//   o[r, i] += sum_j w[r, j] * v[j, i]         left w [16 rows][32 tokens],    right v [32 tokens / 2][16 dims][2]
//
// The cache already has the order of the right operands, except that V stores 16 tokens together, which is half of an operand. If two
// adjacent tiles lie one after the other in a page, they are read in place; others are first copied together, once for all rows. The last
// operand is padded with zeros on both sides, because a factor of zero would not remove a NaN that follows in the cache.
//
// `Tiles` stands for the instructions, as in matmul_amx-inl.h. Registers 0 to 5 hold sums of up to three row tiles by two
// tiles of the cache (or one by four), so that each operand from the cache is loaded once for all rows. One register for
// each side is enough, because the CPU renames tile registers (3.87 TFLOP/s with operands in the first-level cache and 3.86
// without loads, on a Sapphire Rapids, November 2026).

#include "cpu/kernels/attention-inl.h"
#include "cpu/kernels/matmul_amx-inl.h"
#include "cpu/kernels/softmax_rows-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

inline constexpr std::int64_t kOperandBytes = std::int64_t{kTileLines} * kLineBytes;
/// Dimensions (of q and k) or tokens (of w and v) of one operand.
inline constexpr int kOperandDepth = 32;
static_assert(kMaxQueryRows == 3 * kTileLines);
inline constexpr int kMaxPairs = kBlockTiles / 2;
inline constexpr int kLeft = 6;
inline constexpr int kRight = 7;

/// Calls body.template operator()<i>() for i = 0 .. n - 1.
template <int n, typename Body>
inline void unrolled(const Body& body) {
  if constexpr (n > 0) {
    unrolled<n - 1>(body);
    body.template operator()<n - 1>();
  }
}

/// The right operands of 16 tokens of K (one for 32 dimensions each) or of 32 tokens of V (one for 16 dimensions each).
struct RightOperands {
  const std::byte* first = nullptr;
  std::int64_t step_bytes = kOperandBytes;
  const std::byte* padded_last = nullptr;  ///< the last operand, if it is padded; null if not
  std::int64_t last = 0;                   ///< its index
  [[nodiscard]] const std::byte* at(std::int64_t index) const {
    return index == last && padded_last != nullptr ? padded_last : first + index * step_bytes;
  }
};

/// The left operands of all row tiles at one step of a sum.
struct LeftOperands {
  const void* first = nullptr;
  std::int64_t row_bytes = kLineBytes;
  std::int64_t tile_bytes = 0;  ///< from one row tile to the next
};

/// What is prefetched during a block: its V, then K of the next block. With few rows the kernel waits for memory, so V is prefetched in the
/// product with K, and K in the product with V. With more rows the softmax takes most of the time and reads little memory, so it prefetches
/// everything: 512 tokens after 3584 took 0.87 of the time (heads of 64), but 8 rows 1.2 to 1.6 of it (Sapphire Rapids, November 2026).
struct BlockPrefetch {
  BlockPrefetch(const AttendArgs& args, bool in_softmax)
      : v(args.v_prefetch),
        k(args.k_prefetch),
        n_by_operand(in_softmax ? 0 : kTileLines),
        n_v_by_row(in_softmax ? v.n_left() / args.n_rows + 1 : 0),
        n_k_by_row(in_softmax ? k.n_left() / args.n_rows + 1 : 0) {}
  Prefetcher v;
  Prefetcher k;
  std::int64_t n_by_operand;  ///< lines
  std::int64_t n_v_by_row;
  std::int64_t n_k_by_row;
};

/// sum[m][t] += left[m] * right[t], in registers m * kColumnTiles + t. Neighbouring products share the left operand.
template <typename Tiles, int kRowTiles, int kColumnTiles>
inline void add_products(const LeftOperands& left, const std::byte* const* right) {
  const auto* const rows = static_cast<const std::byte*>(left.first);
  unrolled<kColumnTiles>([&]<int t>() {
    Tiles::template load<kRight>(right[t], kLineBytes);
    unrolled<kRowTiles>([&]<int i>() {
      constexpr int m = t % 2 == 0 ? i : kRowTiles - 1 - i;
      if constexpr (t == 0 || i > 0) Tiles::template load<kLeft>(rows + m * left.tile_bytes, left.row_bytes);
      Tiles::template dot_bf16<m * kColumnTiles + t, kLeft, kRight>();
    });
  });
}

/// scores[:, 16 * (first + t) + j] = q . k for all rows and kTokenTiles tiles of 16 tokens, not yet scaled.
template <typename Tiles, int kRowTiles, int kTokenTiles>
inline void score_operands(const AttendArgs& args, const RightOperands* keys, int first, BlockPrefetch& prefetch) {
  unrolled<kRowTiles * kTokenTiles>([]<int sum>() { Tiles::template zero<sum>(); });
  const std::int64_t n_steps = args.head_dim / kOperandDepth;
  const auto* const q = static_cast<const std::byte*>(args.q);
  for (std::int64_t step = 0; step < n_steps; ++step) {
    const std::byte* right[kTokenTiles];
    for (int t = 0; t < kTokenTiles; ++t) right[t] = keys[first + t].at(step);
    add_products<Tiles, kRowTiles, kTokenTiles>(
        {.first = q + step * kOperandBytes, .tile_bytes = n_steps * kOperandBytes}, right);
    prefetch.v.next_lines(kTokenTiles * prefetch.n_by_operand);
  }
  unrolled<kRowTiles * kTokenTiles>([&]<int sum>() {
    constexpr int m = sum / kTokenTiles;
    constexpr int t = sum % kTokenTiles;
    float* const out = args.scores + m * kTileLines * kBlockTokens + (first + t) * kTileRows;
    Tiles::template store<sum>(out, kBlockTokens * std::int64_t{sizeof(float)});
  });
}

/// o[:, 16 * (first + t) + i] += w . v for all rows and kDimTiles tiles of 16 dimensions.
template <typename Tiles, int kRowTiles, int kDimTiles>
inline void value_operands(const AttendArgs& args, const RightOperands* values, int first, BlockPrefetch& prefetch) {
  constexpr std::int64_t kWeightRowBytes = kBlockTokens * std::int64_t{sizeof(std::uint16_t)};
  const std::int64_t o_stride = std::int64_t{args.n_dim_tiles} * kTileRows;
  float* const out = args.state.o + first * kTileRows;
  unrolled<kRowTiles * kDimTiles>([&]<int sum>() {
    float* const from = out + sum / kDimTiles * kTileLines * o_stride + sum % kDimTiles * kTileRows;
    Tiles::template load<sum>(from, o_stride * std::int64_t{sizeof(float)});
  });
  const auto* weights = static_cast<const std::byte*>(args.weights);
  for (int pair = 0; 2 * pair < args.n_tiles; ++pair, weights += kLineBytes) {
    const std::byte* right[kDimTiles];
    for (int t = 0; t < kDimTiles; ++t) right[t] = values[pair].at(first + t);
    add_products<Tiles, kRowTiles, kDimTiles>(
        {.first = weights, .row_bytes = kWeightRowBytes, .tile_bytes = kTileLines * kWeightRowBytes}, right);
    prefetch.k.next_lines(kDimTiles * prefetch.n_by_operand);
  }
  unrolled<kRowTiles * kDimTiles>([&]<int sum>() {
    float* const to = out + sum / kDimTiles * kTileLines * o_stride + sum % kDimTiles * kTileRows;
    Tiles::template store<sum>(to, o_stride * std::int64_t{sizeof(float)});
  });
}

/// A cache in BF16: operands are read in place where they are whole.
struct Bf16Cache {
  /// `padded`: memory for one operand for each tile.
  static void keys(const AttendArgs& args, std::byte* padded, RightOperands* out) {
    const std::int64_t tile_bytes = args.k_dim * kTileRows * std::int64_t{sizeof(std::uint16_t)};
    const std::int64_t last_bytes = tile_bytes % kOperandBytes;
    for (int tile = 0; tile < args.n_tiles; ++tile, padded += kOperandBytes) {
      out[tile] = {.first = args.k_tiles[tile], .last = tile_bytes / kOperandBytes};
      if (last_bytes == 0) continue;
      __builtin_memcpy(padded, args.k_tiles[tile] + tile_bytes - last_bytes, static_cast<std::size_t>(last_bytes));
      __builtin_memset(padded + last_bytes, 0, static_cast<std::size_t>(kOperandBytes - last_bytes));
      out[tile].padded_last = padded;
    }
  }

  /// `copies`: memory for n_dim_tiles operands for each pair of tiles.
  static void values(const AttendArgs& args, std::byte* copies, RightOperands* out) {
    constexpr std::size_t kHalf = kOperandBytes / 2;
    for (int pair = 0; 2 * pair < args.n_tiles; ++pair, copies += args.n_dim_tiles * kOperandBytes) {
      const std::byte* const first = args.v_tiles[2 * pair];
      const std::byte* const second = 2 * pair + 1 < args.n_tiles ? args.v_tiles[2 * pair + 1] : nullptr;
      if (second == first + kHalf) {
        out[pair] = {.first = first, .step_bytes = args.v_dim_stride};
        continue;
      }
      out[pair] = {.first = copies};
      for (int dim_tile = 0; dim_tile < args.n_dim_tiles; ++dim_tile) {
        std::byte* const to = copies + dim_tile * kOperandBytes;
        __builtin_memcpy(to, first + dim_tile * args.v_dim_stride, kHalf);
        if (second == nullptr) {
          __builtin_memset(to + kHalf, 0, kHalf);
        } else {
          __builtin_memcpy(to + kHalf, second + dim_tile * args.v_dim_stride, kHalf);
        }
      }
    }
  }
};

/// A cache in int8: all operands of a block are made once for all its rows. kUnpack: Unpacking::unpack of int8 to BF16; the
/// integers stay as they are, and the softmax applies the scales of the tokens.
template <void (*kUnpack)(const std::byte* tile, std::int64_t k, std::byte* out)>
struct Int8Cache {
  static void keys(const AttendArgs& args, std::byte* to, RightOperands* out) {
    const std::int64_t tile_bytes = args.k_dim * kTileRows * std::int64_t{sizeof(std::uint16_t)};
    const std::int64_t padded_bytes = args.head_dim * kTileRows * std::int64_t{sizeof(std::uint16_t)};
    for (int tile = 0; tile < args.n_tiles; ++tile, to += padded_bytes) {
      kUnpack(args.k_tiles[tile], args.k_dim, to);
      __builtin_memset(to + tile_bytes, 0, static_cast<std::size_t>(padded_bytes - tile_bytes));
      out[tile] = {.first = to};
    }
  }

  static void values(const AttendArgs& args, std::byte* to, RightOperands* out) {
    constexpr std::int64_t kHalf = kOperandBytes / 2;
    for (int pair = 0; 2 * pair < args.n_tiles; ++pair) {
      out[pair] = {.first = to};
      for (int dim_tile = 0; dim_tile < args.n_dim_tiles; ++dim_tile, to += kOperandBytes) {
        const std::int64_t offset = dim_tile * args.v_dim_stride;
        kUnpack(args.v_tiles[2 * pair] + offset, kTileRows, to);
        if (2 * pair + 1 < args.n_tiles) {
          kUnpack(args.v_tiles[2 * pair + 1] + offset, kTileRows, to + kHalf);
        } else {
          __builtin_memset(to + kHalf, 0, kHalf);
        }
      }
    }
  }
};

/// o *= rescale for one row, if its maximum has grown.
inline void rescale_row(const AttendArgs& args, int row, float rescale) {
  if (rescale == 1.0F) return;
  const std::int64_t n = std::int64_t{args.n_dim_tiles} * kTileRows;
  float* const o = args.state.o + row * n;
  for (std::int64_t i = 0; i < n; i += kTileRows) store(o + i, mul(load(o + i), broadcast(rescale)));
}

/// Computes the softmax weights of the row tile that begins at row `first`, and updates its state.
inline void weigh_row_tile(const AttendArgs& args, int first, std::uint16_t* weights, BlockPrefetch& prefetch) {
  SoftmaxRows rows(args, first);
  for (int i = 0; i < rows.n(); ++i) {
    rows.find_max(i);
    prefetch.v.next_lines(prefetch.n_v_by_row);
  }
  rows.update_maxima();
  const std::int64_t n_tokens = std::int64_t{args.n_tiles} * kTileRows;
  for (int i = 0; i < rows.n(); ++i) {
    std::uint16_t* const of_row = weights + (first + i) * kBlockTokens;
    rows.weigh(i, of_row);
    prefetch.k.next_lines(prefetch.n_k_by_row);
    rescale_row(args, first + i, rows.rescale(i));
    if (args.n_tiles % 2 != 0) store_bf16(of_row + n_tokens, zero());
  }
  rows.update_sums();
}

template <typename Tiles, typename Cache, int kRowTiles>
void attend_row_tiles(const AttendArgs& args) {
  // Fewer sums than four would leave the multiplier waiting for the previous product of the same sum.
  constexpr int kColumnTiles = kRowTiles == 1 ? 4 : 2;
  RightOperands keys[kBlockTiles];
  RightOperands values[kMaxPairs];
  std::byte* const operands = args.operands;
  const std::int64_t n_key_steps = args.head_dim / kOperandDepth;
  BlockPrefetch prefetch(args, kRowTiles > 1);
  Cache::keys(args, operands, keys);
  dispatch_tiles<kColumnTiles>(args.n_tiles, [&]<int kTokenTiles>(int tile) {
    score_operands<Tiles, kRowTiles, kTokenTiles>(args, keys, tile, prefetch);
  });
  Cache::values(args, operands + kBlockTiles * n_key_steps * kOperandBytes, values);
  auto* const weights = static_cast<std::uint16_t*>(args.weights);
  for (int first = 0; first < args.n_rows; first += kTileLines) weigh_row_tile(args, first, weights, prefetch);
  dispatch_tiles<kColumnTiles>(args.n_dim_tiles, [&]<int kDimTiles>(int tile) {
    value_operands<Tiles, kRowTiles, kDimTiles>(args, values, tile, prefetch);
  });
}

/// AttendKernel::operand_bytes: all keys and values of a block.
inline std::int64_t attention_operand_bytes(std::int64_t head_dim, int n_dim_tiles) {
  const std::int64_t n_key_steps = (head_dim + kOperandDepth - 1) / kOperandDepth;
  return (kBlockTiles * n_key_steps + kMaxPairs * n_dim_tiles) * kOperandBytes;
}

/// All registers have 16 lines of 64 bytes. The results of rows from n_rows on are not used.
constexpr TileConfig whole_tiles() {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.rows[tile] = kTileLines;
    config.bytes_per_row[tile] = kLineBytes;
  }
  return config;
}

/// Attends over the whole block.
template <typename Tiles, typename Cache>
void attend_amx(const AttendArgs& args) {
  static constexpr TileConfig kConfig = whole_tiles();
  Tiles::configure(kConfig);
  const int n_row_tiles = (args.n_rows + kTileLines - 1) / kTileLines;
  if (n_row_tiles == 1) attend_row_tiles<Tiles, Cache, 1>(args);
  if (n_row_tiles == 2) attend_row_tiles<Tiles, Cache, 2>(args);
  if (n_row_tiles == 3) attend_row_tiles<Tiles, Cache, 3>(args);
  Tiles::release();
}

}  // namespace secondsource::cpu::SS_CPU_ISA
