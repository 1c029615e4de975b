// Prefill attention with wgmma (sm_90a), after FlashAttention-3 (arXiv:2407.08608, section 3.2).
//
//   out[t, h] = sum_j p[j] v[j],   p = softmax_j(softcap(scale * q[t, h] . k[j])),   j <= position of t,
//   and j > position - window when window > 0; with sinks, exp(sinks[h]) joins the sum of the softmax
//
// Shapes       q, out: [T, n_heads, head_dim]; KV cache: [n_pages, n_kv_heads, page_tokens, head_dim] per layer
// Dtypes       q, out: f32; KV cache: BF16; q and p are rounded to BF16 for the products
// Accumulator  f32: scores, running maximum, running sum, output
// Aliasing     out may be q: a block reads its own queries before it writes its own rows
// Alignment    q and out to 16 bytes; head_dim is a multiple of 8, so cache rows are, too
// Source       FlashAttention-3, section 3.2 (overlap of softmax and products within a warpgroup), without its producer
//              warps; online softmax: arXiv:1805.02867
//
// The products Q K^T of the next KV tile start before the products P V of this one are waited for, so the softmax runs
// while the tensor cores multiply. Scores and probabilities never leave the registers.
//
//   tensor cores | QK 0 |  | QK 1 | PV 0 |  | QK 2 | PV 1 |  ...
//   softmax              0                1                2
//
// A block is two warpgroups of 64 rows each. A row is one query head of one token: all query heads that share a KV head
// follow each other token by token, so a few tokens fill the rows, and a KV tile is loaded once for all those heads.
// Keys and values have two shared-memory stages each: one is multiplied while the other is filled.

#include "gpu/kernels/launchers.h"
#include "gpu/kernels/softmax_state.h"
#include "gpu/portable/fast_math.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/shared_copy.h"
#include "gpu/portable/warpgroup.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

#if defined(SS_GPU_CUDA) || defined(SS_GPU_WARPGROUPS)
namespace {

constexpr int kRows = 2 * kWarpgroupRows;  ///< rows of one block
constexpr int kThreads = 2 * kWarpgroupWarps * 32;
constexpr int kVecValues = 8;             ///< BF16 values of one 16-byte vector
constexpr int kLineValues = 64;           ///< BF16 values of one 128-byte swizzled line
constexpr int kStages = 2;                ///< KV tiles in shared memory, of keys and of values each
constexpr int kLineStages = kStages + 1;  ///< cache rows are looked up one tile ahead of the key copies
constexpr int kNoLine = -1;
constexpr int kTilesPerWgmma = 8;  ///< accumulator tiles of one wgmma: 128 columns

template <int kHeadDim>
struct Shape {
  /// Positions of one KV tile. The scores of 128 positions take 64 registers of a thread, beside head_dim / 2 for the
  /// output; wide heads leave room for only half of that.
  static constexpr int kKvTile = kHeadDim > 128 ? 64 : 128;
  static constexpr int kColumns = (kHeadDim + kLineValues - 1) / kLineValues;  ///< 64-column slabs side by side
  static constexpr int kQueryTileBytes = kRows * kSwizzledLineBytes;
  static constexpr int kCacheTileBytes = kKvTile * kSwizzledLineBytes;
  struct Shared {
    alignas(kSwizzleAlignment) std::byte queries[kColumns * kQueryTileBytes];
    alignas(kSwizzleAlignment) std::byte keys[kStages][kColumns * kCacheTileBytes];
    alignas(kSwizzleAlignment) std::byte values[kStages][kColumns * kCacheTileBytes];
    /// Cache row, counted in rows of head_dim values, of each position of a KV tile; kNoLine: filled with zeros.
    int lines[kLineStages][kKvTile];
  };

  // How the block copies a KV tile: each pass covers kLinesPerPass rows; neighbouring threads copy neighbouring 16-byte
  // vectors of one row.
  static constexpr int kVecs = kHeadDim / kVecValues;
  static constexpr int kThreadsPerLine = kVecs <= 4 ? 4 : kVecs <= 8 ? 8 : kVecs <= 16 ? 16 : 32;
  static constexpr int kLinesPerPass = kThreads / kThreadsPerLine;
};

/// The rows of a block: (token, query head) pairs of one KV head, heads varying fastest.
struct Rows {
  int first;                 ///< first row, counted in the query tile's tokens * group_heads
  int end;                   ///< rows of the block from here on are padding
  int group_heads;           ///< query heads per KV head
  std::int64_t first_query;  ///< index of the tile's first (token, head) in q and out

  [[nodiscard]] SS_DEVICE int token(int row) const { return (first + row) / group_heads; }
  /// The row's query head among those of the KV head.
  [[nodiscard]] SS_DEVICE int head(int row) const { return first + row - token(row) * group_heads; }
  /// Offset of the row's first value in q and out.
  [[nodiscard]] SS_DEVICE std::int64_t place(const AttentionArguments& a, int row) const {
    return (first_query + std::int64_t{token(row)} * a.n_heads + head(row)) * a.kv.head_dim;
  }
};

/// Copies the queries to shared memory as BF16, zeros for padding. They are negated when the scale is negative, so that
/// the largest product always belongs to the largest score.
template <int kHeadDim>
SS_DEVICE void stage_queries(const AttentionArguments& a, const Rows& rows, std::byte* to) {
  using Block = Shape<kHeadDim>;
  const float sign = a.scale < 0.0F ? -1.0F : 1.0F;
  const int vec = thread_x() % Block::kThreadsPerLine;
  if (vec >= Block::kVecs) return;
  for (int row = thread_x() / Block::kThreadsPerLine; row < kRows; row += Block::kLinesPerPass) {
    float values[kVecValues] = {};
    if (row < rows.end && vec * kVecValues < a.kv.head_dim) {
      const float* const from = a.q + rows.place(a, row) + vec * kVecValues;
      SS_UNROLL
      for (int half = 0; half < 2; ++half) {
        const Chunk four = load_chunk(from + half * 4);
        SS_UNROLL
        for (int i = 0; i < 4; ++i) values[half * 4 + i] = sign * bits_as<float>(four.word[i]);
      }
    }
    store_chunk(to + vec / 8 * Block::kQueryTileBytes + swizzled_offset(row, vec % 8), narrow_vec(values));
  }
}

/// Finds this thread's entry of Shared::lines for one KV tile after another, without a division per tile.
struct LineFinder {
  int position;
  int page;  ///< index into the sequence's block table; position = page * page_tokens + token
  int token;
  int page_step;  ///< pages from one KV tile to the next
  int token_step;

  SS_DEVICE LineFinder(const AttentionArguments& a, int first_position, int kv_tile)
      : position(first_position),
        page(first_position / a.kv.page_tokens),
        token(first_position % a.kv.page_tokens),
        page_step(kv_tile / a.kv.page_tokens),
        token_step(kv_tile % a.kv.page_tokens) {}

  /// The cache row for the next KV tile, kNoLine outside of the visible positions [begin, end).
  SS_DEVICE int next(const AttentionArguments& a, const std::int32_t* pages, int kv_head, int kv_tile, int begin,
                     int end) {
    int line = kNoLine;
    if (position >= begin && position < end) {
      line = (pages[page] * a.kv.n_kv_heads + kv_head) * a.kv.page_tokens + token;
    }
    position += kv_tile;
    page += page_step;
    token += token_step;
    if (token >= a.kv.page_tokens) {
      token -= a.kv.page_tokens;
      ++page;
    }
    return line;
  }
};

/// Starts the asynchronous copy of one KV tile of keys or values; `lines` are its cache rows.
template <int kHeadDim>
SS_DEVICE void copy_kv_tile(const AttentionArguments& a, const Bf16* cache, const int* lines, std::byte* to) {
  using Block = Shape<kHeadDim>;
  const int vec = thread_x() % Block::kThreadsPerLine;
  if (vec >= Block::kVecs) return;
  // All rows that a thread copies have the same swizzle, so the offset is computed once.
  static_assert(Block::kLinesPerPass * kSwizzledLineBytes % kSwizzleAlignment == 0);
  const int first = thread_x() / Block::kThreadsPerLine;
  to += vec / 8 * Block::kCacheTileBytes + swizzled_offset(first, vec % 8);
  const bool has_values = vec * kVecValues < a.kv.head_dim;
  SS_UNROLL
  for (int at = 0; at < Block::kKvTile; at += Block::kLinesPerPass) {
    const int line = lines[first + at];
    const bool in_range = has_values && line != kNoLine;
    const std::int64_t from = in_range ? std::int64_t{line} * a.kv.head_dim + vec * kVecValues : 0;
    copy_to_shared(to + at * kSwizzledLineBytes, cache + from, in_range);
  }
}

/// Waits until at most kPendingGroups copy groups of this thread are pending, fences its writes for wgmma, then
/// synchronises the block. Called by every thread.
template <int kPendingGroups>
SS_DEVICE void wait_and_sync() {
  wait_for_copies<kPendingGroups>();
  fence_proxy_async();
  sync_block();  // all reads of earlier stages are done as well
}

/// Starts scores = Q K^T for this warpgroup's rows.
template <int kHeadDim, int kColTiles>
SS_DEVICE void begin_scores(Accumulator<Bf16> (&scores)[kColTiles], SharedOperand queries, const std::byte* keys) {
  using Block = Shape<kHeadDim>;
  const SharedOperand lines = lines_of<Bf16>(keys, 0);
  SS_UNROLL
  for (int dim = 0; dim < kHeadDim; dim += kTileDepth<Bf16>) {
    const int column = dim / kLineValues;
    const int at = dim % kLineValues * static_cast<int>(sizeof(Bf16));
    const SharedOperand q = offset_by(queries, column * Block::kQueryTileBytes + at);
    const SharedOperand k = offset_by(lines, column * Block::kCacheTileBytes + at);
    if (dim == 0) {
      multiply_lines<Sums::kNew>(scores, q, k);
    } else {
      multiply_lines(scores, q, k);
    }
  }
  commit_products();
}

/// Starts sums += P V for the dimensions from tile kFirst on: 128 at a time, then the remainder.
template <int kHeadDim, int kFirst = 0, int kScoreTiles>
SS_DEVICE void begin_columns(Accumulator<Bf16> (&sums)[kHeadDim / kTile], const RegisterOperand (&weights)[kScoreTiles],
                             const std::byte* values) {
  using Block = Shape<kHeadDim>;
  constexpr int kLeft = kHeadDim / kTile - kFirst;
  constexpr int kNow = kLeft >= kTilesPerWgmma ? kTilesPerWgmma : kLeft >= 4 ? 4 : 2;
  using Columns = Accumulator<Bf16>[kNow];
  const SharedOperand lines =
      transposed_lines_of(values + kFirst * kTile / kLineValues * Block::kCacheTileBytes, 0, Block::kCacheTileBytes);
  SS_UNROLL
  for (int k = 0; k < kScoreTiles; ++k) {
    multiply_transposed(reinterpret_cast<Columns&>(sums[kFirst]), weights[k],
                        offset_by(lines, k * kTile * kSwizzledLineBytes));
  }
  if constexpr (kLeft > kNow) begin_columns<kHeadDim, kFirst + kNow>(sums, weights, values);
}

// In the accumulator layout a lane holds values of two rows; four neighbouring lanes share a row and split its columns.
constexpr int kLaneRows = 2;
constexpr int kRowLanes = 4;
/// Which of the lane's two rows accumulator value i belongs to; see accumulator_row().
SS_DEVICE constexpr int lane_row(int i) {
  return i / 2 % kLaneRows;
}

/// Online softmax of a lane's two rows (arXiv:1805.02867), in powers of two. It is not shared with the other attention
/// kernels: those keep one row per lane or warp and use expf, and this one folds the scale into the exponent.
struct OnlineSoftmax {
  float factor;  ///< scale * log2(e), or log2(e) after a soft cap, which has applied the scale
  float row_max[kLaneRows] = {kNegInf, kNegInf};
  float sum[kLaneRows] = {};  ///< over this lane's columns only; reduced over lanes at the end

  /// What a head's sink adds to the sum of row r, as in softmax_state.h.
  [[nodiscard]] SS_DEVICE float weight_of_sink(const float* sinks, int head, int r) const {
    const float shift = row_max[r] == kNegInf ? 0.0F : row_max[r] * factor;
    return sinks == nullptr ? 0.0F : fast_exp2(sinks[head] * kLog2E - shift);
  }

  /// Replaces scores by exp(score - row maximum); `rescale` is the factor for the older sums and outputs.
  template <int kColTiles>
  SS_DEVICE void update(Accumulator<Bf16> (&scores)[kColTiles], float (&rescale)[kLaneRows]) {
    float shift[kLaneRows];
    SS_UNROLL
    for (int r = 0; r < kLaneRows; ++r) {
      float now = row_max[r];
      SS_UNROLL
      for (int j = 0; j < kColTiles; ++j) {
        SS_UNROLL
        for (int i = 0; i < kAccumulators; ++i) {
          if (lane_row(i) == r) now = fmaxf(now, scores[j].value[i]);
        }
      }
      now = max_lanes(now, kRowLanes);
      // If every score so far is -inf, a shift of 0 makes all probabilities 2^(-inf) = 0 instead of NaN.
      shift[r] = now == kNegInf ? 0.0F : now * factor;
      rescale[r] = fast_exp2(row_max[r] * factor - shift[r]);
      row_max[r] = now;
      sum[r] *= rescale[r];
    }
    SS_UNROLL
    for (int j = 0; j < kColTiles; ++j) {
      SS_UNROLL
      for (int i = 0; i < kAccumulators; ++i) {
        float& value = scores[j].value[i];
        value = fast_exp2(value * factor - shift[lane_row(i)]);
        sum[lane_row(i)] += value;
      }
    }
  }
};

/// score = softcap * tanh(scale * score / softcap).
template <int kColTiles>
SS_DEVICE void cap_scores(Accumulator<Bf16> (&scores)[kColTiles], float softcap, float scale) {
  SS_UNROLL
  for (int j = 0; j < kColTiles; ++j) {
    SS_UNROLL
    for (int i = 0; i < kAccumulators; ++i) {
      scores[j].value[i] = softcap * fast_tanh(scores[j].value[i] * (scale / softcap));
    }
  }
}
/// Sets the scores of positions that a row may not see to -inf. `first`: the tile's first position.
template <int kColTiles>
SS_DEVICE void mask_scores(Accumulator<Bf16> (&scores)[kColTiles], int first, const int (&position)[kLaneRows],
                           int window) {
  SS_UNROLL
  for (int j = 0; j < kColTiles; ++j) {
    SS_UNROLL
    for (int i = 0; i < kAccumulators; ++i) {
      const int at = first + j * kTile + accumulator_col(i);
      const int own = position[lane_row(i)];
      const bool seen = at <= own && (window <= 0 || at > own - window);
      if (!seen) scores[j].value[i] = kNegInf;
    }
  }
}

/// Rounds the probabilities to BF16 as operand A of P V: accumulators and A fragments have the same lane layout.
template <int kColTiles>
SS_DEVICE void narrow_weights(const Accumulator<Bf16> (&scores)[kColTiles], RegisterOperand (&weights)[kColTiles]) {
  SS_UNROLL
  for (int j = 0; j < kColTiles; ++j) {
    SS_UNROLL
    for (int w = 0; w < 4; ++w) {
      weights[j].word[w] = narrow_pair(scores[j].value[2 * w], scores[j].value[2 * w + 1]);
    }
  }
}

template <int kHeadDim>
SS_DEVICE void attend(const AttentionArguments& a) {
  using Block = Shape<kHeadDim>;
  constexpr int kKvTile = Block::kKvTile;
  constexpr int kScoreTiles = kKvTile / kTile;
  constexpr int kDimTiles = kHeadDim / kTile;
  const int n_tiles = *a.batch.n_query_tiles;
  if (block_y() >= n_tiles) return;
  // The last tokens of a sequence see the most positions. They start first, so that the longest blocks do not run last.
  const QueryTile tile = a.batch.query_tiles[n_tiles - 1 - block_y()];
  const int kv_head = block_z();
  const int group_heads = a.n_heads / a.kv.n_kv_heads;
  const Rows rows{.first = block_x() * kRows,
                  .end = tile.n_tokens * group_heads - block_x() * kRows,
                  .group_heads = group_heads,
                  .first_query = std::int64_t{tile.first_token} * a.n_heads + std::int64_t{kv_head} * group_heads};
  if (rows.end <= 0) return;
  const int n_rows = rows.end < kRows ? rows.end : kRows;
  if (tile.seq < 0) {  // padding tokens get zeros, which stay finite in later layers
    for (int i = thread_x(); i < n_rows * a.kv.head_dim; i += kThreads) {
      a.out[rows.place(a, i / a.kv.head_dim) + i % a.kv.head_dim] = 0.0F;
    }
    return;
  }
  auto& shared = shared_memory<typename Block::Shared>();
  const std::int32_t* const pages = a.batch.block_table + std::int64_t{tile.seq} * a.batch.max_pages_per_seq;
  const std::int32_t* const positions = a.batch.positions + tile.first_token;
  const auto position_of = [&](int row) { return positions[rows.token(row < n_rows ? row : n_rows - 1)]; };
  const int first_position = position_of(0);
  const int end = position_of(n_rows - 1) + 1;
  const int begin = a.window > 0 && first_position >= a.window ? first_position - a.window + 1 : 0;
  const int first = begin / kKvTile * kKvTile;
  const int n_kv_tiles = (end - first + kKvTile - 1) / kKvTile;

  LineFinder finder(a, first + thread_x(), kKvTile);
  const auto next_line = [&] { return finder.next(a, pages, kv_head, kKvTile, begin, end); };
  const auto keep_line = [&](int kv_tile, int line) {
    if (thread_x() < kKvTile) shared.lines[kv_tile % kLineStages][thread_x()] = line;
  };
  const auto copy = [&](const Bf16* cache, int kv_tile,
                        std::byte(&to)[kStages][Block::kColumns * Block::kCacheTileBytes]) {
    copy_kv_tile<kHeadDim>(a, cache, shared.lines[kv_tile % kLineStages], to[kv_tile % kStages]);
  };
  keep_line(0, next_line());
  keep_line(1, next_line());
  sync_block();  // the cache rows of two KV tiles are known
  copy(a.kv.keys, 0, shared.keys);
  commit_copies();
  copy(a.kv.values, 0, shared.values);
  if (n_kv_tiles > 1) copy(a.kv.keys, 1, shared.keys);
  commit_copies();
  keep_line(2, next_line());
  stage_queries<kHeadDim>(a, rows, shared.queries);

  // Padding rows repeat the last valid row; their results are never written.
  const int warp_row = warp() * kTile;
  const int position[kLaneRows] = {position_of(warp_row + accumulator_row(0)),
                                   position_of(warp_row + accumulator_row(2))};
  const int warp_first = position_of(warp_row);
  const int warp_last = position_of(warp_row + kTile - 1);
  const SharedOperand queries =
      lines_of<Bf16>(shared.queries + warp() / kWarpgroupWarps * kWarpgroupRows * kSwizzledLineBytes, 0);
  const float scale = a.scale < 0.0F ? -a.scale : a.scale;
  Accumulator<Bf16> scores[kScoreTiles];
  Accumulator<Bf16> sums[kDimTiles] = {};
  RegisterOperand weights[kScoreTiles];
  // At least 1e-30: a factor of 0 times a masked score of -inf would be NaN.
  OnlineSoftmax softmax{.factor = a.softcap > 0.0F ? kLog2E : fmaxf(scale * kLog2E, 1e-30F)};
  float rescale[kLaneRows];
  const auto update_softmax = [&](int kv_tile) {
    const int at = first + kv_tile * kKvTile;
    if (a.softcap > 0.0F) cap_scores(scores, a.softcap, scale);
    const bool all_seen = at + kKvTile - 1 <= warp_first && (a.window <= 0 || at > warp_last - a.window);
    if (!all_seen) mask_scores(scores, at, position, a.window);
    softmax.update(scores, rescale);
  };

  wait_and_sync<1>();  // the queries and the first keys have arrived
  fence_products();
  begin_scores<kHeadDim>(scores, queries, shared.keys[0]);
  wait_for_products<0>(scores);
  update_softmax(0);
  narrow_weights(scores, weights);
  for (int kv_tile = 1; kv_tile < n_kv_tiles; ++kv_tile) {
    wait_and_sync<0>();  // this tile's keys and the last tile's values have arrived, the stages to fill are free
    fence_products();    // scores, sums and weights are final in registers
    begin_scores<kHeadDim>(scores, queries, shared.keys[kv_tile % kStages]);
    begin_columns<kHeadDim>(sums, weights, shared.values[(kv_tile - 1) % kStages]);
    commit_products();
    copy(a.kv.values, kv_tile, shared.values);
    if (kv_tile + 1 < n_kv_tiles) copy(a.kv.keys, kv_tile + 1, shared.keys);
    commit_copies();
    const int line = next_line();
    wait_for_products<1>(scores);  // P V of the last tile is still running
    update_softmax(kv_tile);
    keep_line(kv_tile + 2, line);
    const bool is_rescaled = any_lane(rescale[0] != 1.0F || rescale[1] != 1.0F);
    // softmax.sum depends on every probability, so all are computed before the wait; otherwise ptxas moves them behind it.
    compute_before_wait(softmax.sum[0] + softmax.sum[1]);
    wait_for_products<0>(sums);  // the weights' registers are free again
    if (is_rescaled) {
      SS_UNROLL
      for (int j = 0; j < kDimTiles; ++j) {
        SS_UNROLL
        for (int i = 0; i < kAccumulators; ++i) sums[j].value[i] *= rescale[lane_row(i)];
      }
    }
    narrow_weights(scores, weights);
  }
  wait_and_sync<0>();  // the last values have arrived
  fence_products();
  begin_columns<kHeadDim>(sums, weights, shared.values[(n_kv_tiles - 1) % kStages]);
  commit_products();
  wait_for_products<0>(sums);

  SS_UNROLL
  for (int r = 0; r < kLaneRows; ++r) {
    const int row = warp_row + accumulator_row(2 * r);
    const float sum = sum_lanes(softmax.sum[r], kRowLanes);
    if (row >= n_rows) continue;
    const float inverse_sum = 1.0F / (sum + softmax.weight_of_sink(a.sinks, kv_head * group_heads + rows.head(row), r));
    float* const out = a.out + rows.place(a, row);
    SS_UNROLL
    for (int j = 0; j < kDimTiles; ++j) {
      SS_UNROLL
      for (int i = 0; i < kAccumulators; i += 2) {
        const int dim = j * kTile + accumulator_col(i);
        if (lane_row(i) != r || dim >= a.kv.head_dim) continue;
        store_pair(out + dim, sums[j].value[i] * inverse_sum, sums[j].value[i + 1] * inverse_sum);
      }
    }
  }
}

template <int kHeadDim>
SS_KERNEL(kThreads)
warpgroup_attention_kernel(AttentionArguments a) {
  wait_for_earlier_kernels();
  // The kernel is empty on targets without wgmma, where the host never launches it.
  if (kHasWarpgroups) attend<kHeadDim>(a);
}

template <int kHeadDim>
Result<void> launch_for(const LaunchContext& context, const AttentionArguments& arguments) {
  using Shared = typename Shape<kHeadDim>::Shared;
  static_assert(sizeof(Shared) <= kWarpgroupSharedBytes && kQueryTileTokens <= kRows);
  const auto group_heads = static_cast<std::uint32_t>(arguments.n_heads / arguments.kv.n_kv_heads);
  return launch(context.stream, "warpgroup_attention", warpgroup_attention_kernel<kHeadDim>,
                {.grid = {group_heads, static_cast<std::uint32_t>(arguments.max_query_tiles),
                          static_cast<std::uint32_t>(arguments.kv.n_kv_heads)},
                 .threads = kThreads,
                 .shared_bytes = sizeof(Shared)},
                arguments);
}

}  // namespace

Result<void> launch_warpgroup_attention(const LaunchContext& context, const AttentionArguments& arguments) {
  if (arguments.kv.head_dim <= 32) return launch_for<32>(context, arguments);
  if (arguments.kv.head_dim <= 64) return launch_for<64>(context, arguments);
  if (arguments.kv.head_dim <= 96) return launch_for<96>(context, arguments);
  if (arguments.kv.head_dim <= 128) return launch_for<128>(context, arguments);
  if (arguments.kv.head_dim <= 192) return launch_for<192>(context, arguments);
  return launch_for<256>(context, arguments);
}
#else
Result<void> launch_warpgroup_attention(const LaunchContext&, const AttentionArguments&) {
  return Error{ErrorCode::kInternal, "attention by warpgroups on a target that has none"};
}
#endif

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
