// Attention of many tokens at once by products of warpgroups (sm_90a), in the way of FlashAttention-3
// (arXiv:2407.08608, section 3.2): the scores of the next piece of the cache are under way before the sums of this one
// are waited for, so that a softmax runs while the tensor cores multiply, and scores and weights never leave the
// registers.
//
//   products   | scores 0 |  | scores 1 | sums 0 |  | scores 2 | sums 1 |  ...
//   softmax                0                   1                     2
//
// Two warpgroups take 64 rows each. A row is a token's query of one head: all heads that share a key-value head follow
// each other token by token, so that a few tokens fill the rows, and what is brought from the cache serves all heads.
// Keys and values have two slots each: while one is multiplied, the other is filled.

#include "gpu/kernels/launchers.h"
#include "gpu/portable/fast_math.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/shared_copy.h"
#include "gpu/portable/warpgroup.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

#if defined(SS_GPU_CUDA) || defined(SS_GPU_WARPGROUPS)
namespace {

constexpr int kRows = 2 * kWarpgroupRows;  ///< of a block
constexpr int kThreads = 2 * kWarpgroupWarps * 32;
constexpr int kUnitValues = 8;          ///< of 16 bytes
constexpr int kLineValues = 64;         ///< of a line of a tile
constexpr int kSlots = 2;               ///< pieces of keys, and of values, that a block holds
constexpr int kLineSlots = kSlots + 1;  ///< one piece ahead of the keys
constexpr int kNoLine = -1;
constexpr int kTilesAtOnce = 8;        ///< 128 columns, what one product makes
constexpr float kNothing = -INFINITY;  ///< the score of a position that is not seen
constexpr float kLog2E = 1.4426950409F;

template <int kHeadDim>
struct Shape {
  /// Positions at a time: the scores take half as many registers of a thread, beside the sums of all dimensions.
  static constexpr int kPiece = kHeadDim > 128 ? 64 : 128;
  static constexpr int kColumns = (kHeadDim + kLineValues - 1) / kLineValues;  ///< tiles beside each other
  static constexpr int kQueryTileBytes = kRows * kSwizzledLineBytes;
  static constexpr int kCacheTileBytes = kPiece * kSwizzledLineBytes;
  struct Shared {
    alignas(kSwizzleAlignment) std::byte queries[kColumns * kQueryTileBytes];
    alignas(kSwizzleAlignment) std::byte keys[kSlots][kColumns * kCacheTileBytes];
    alignas(kSwizzleAlignment) std::byte values[kSlots][kColumns * kCacheTileBytes];
    /// Where the positions of a piece lie, in lines of head_dim values of the cache; kNoLine: zeros take their place.
    int lines[kLineSlots][kPiece];
  };

  // How the block's threads share a piece: a few lines at a time, neighbours the 16 bytes of one.
  static constexpr int kUnits = kHeadDim / kUnitValues;
  static constexpr int kThreadsOfLine = kUnits <= 4 ? 4 : kUnits <= 8 ? 8 : kUnits <= 16 ? 16 : 32;
  static constexpr int kLinesAtOnce = kThreads / kThreadsOfLine;
};

/// The rows of a block: query heads that share a key-value head, token by token.
struct Rows {
  int first;                 ///< of the tile's tokens times heads
  int end;                   ///< those from here on are not there
  int group_heads;           ///< query heads that share the key-value head
  std::int64_t first_query;  ///< head of all heads of all tokens

  [[nodiscard]] SS_DEVICE int token(int row) const { return (first + row) / group_heads; }
  /// Where the row's values begin in queries and outputs.
  [[nodiscard]] SS_DEVICE std::int64_t place(const AttentionArguments& a, int row) const {
    const int token_of_tile = token(row);
    const int head = first + row - token_of_tile * group_heads;
    return (first_query + std::int64_t{token_of_tile} * a.n_heads + head) * a.kv.head_dim;
  }
};

/// Queries as BF16, zeros where there are none. Their sign is the scale's, so that the largest product has the largest
/// score.
template <int kHeadDim>
SS_DEVICE void stage_queries(const AttentionArguments& a, const Rows& rows, std::byte* to) {
  using Block = Shape<kHeadDim>;
  const float sign = a.scale < 0.0F ? -1.0F : 1.0F;
  const int unit = thread_x() % Block::kThreadsOfLine;
  if (unit >= Block::kUnits) return;
  for (int row = thread_x() / Block::kThreadsOfLine; row < kRows; row += Block::kLinesAtOnce) {
    float values[kUnitValues] = {};
    if (row < rows.end && unit * kUnitValues < a.kv.head_dim) {
      const float* const from = a.q + rows.place(a, row) + unit * kUnitValues;
      SS_UNROLL
      for (int half = 0; half < 2; ++half) {
        const Chunk four = load_chunk(from + half * 4);
        SS_UNROLL
        for (int i = 0; i < 4; ++i) values[half * 4 + i] = sign * bits_as<float>(four.word[i]);
      }
    }
    store_chunk(to + unit / 8 * Block::kQueryTileBytes + swizzled_place(row, unit % 8), narrow_unit(values));
  }
}

/// Where one position of each piece lies in the cache, a piece after the other: a thread's part of Shared::lines.
struct LineFinder {
  int position;
  int page;  ///< of the sequence; position = page * page_tokens + token
  int token;
  int page_step;  ///< to the next piece
  int token_step;

  SS_DEVICE LineFinder(const AttentionArguments& a, int first_position, int piece)
      : position(first_position),
        page(first_position / a.kv.page_tokens),
        token(first_position % a.kv.page_tokens),
        page_step(piece / a.kv.page_tokens),
        token_step(piece % a.kv.page_tokens) {}

  /// Of the next piece. Positions that are there go from `begin` to `end`.
  SS_DEVICE int next(const AttentionArguments& a, const std::int32_t* pages, int kv_head, int piece, int begin,
                     int end) {
    int line = kNoLine;
    if (position >= begin && position < end) {
      line = (pages[page] * a.kv.n_kv_heads + kv_head) * a.kv.page_tokens + token;
    }
    position += piece;
    page += page_step;
    token += token_step;
    if (token >= a.kv.page_tokens) {
      token -= a.kv.page_tokens;
      ++page;
    }
    return line;
  }
};

/// Keys or values of a piece, whose lines were found.
template <int kHeadDim>
SS_DEVICE void copy_piece(const AttentionArguments& a, const Bf16* cache, const int* lines, std::byte* to) {
  using Block = Shape<kHeadDim>;
  const int unit = thread_x() % Block::kThreadsOfLine;
  if (unit >= Block::kUnits) return;
  // The lines of a thread are swizzled alike.
  static_assert(Block::kLinesAtOnce * kSwizzledLineBytes % kSwizzleAlignment == 0);
  const int first = thread_x() / Block::kThreadsOfLine;
  to += unit / 8 * Block::kCacheTileBytes + swizzled_place(first, unit % 8);
  const bool has_values = unit * kUnitValues < a.kv.head_dim;
  SS_UNROLL
  for (int at = 0; at < Block::kPiece; at += Block::kLinesAtOnce) {
    const int line = lines[first + at];
    const bool in_range = has_values && line != kNoLine;
    const std::int64_t from = in_range ? std::int64_t{line} * a.kv.head_dim + unit * kUnitValues : 0;
    copy_to_shared(to + at * kSwizzledLineBytes, cache + from, in_range);
  }
}

/// Every thread of the block gets here. What they copied, but for the latest kPendingGroups groups, and what they
/// stored is there for products.
template <int kPendingGroups>
SS_DEVICE void meet() {
  wait_for_copies<kPendingGroups>();
  show_to_warpgroups();
  sync_block();  // and nobody reads what he read before
}

/// scores = Q K^T of this warpgroup's rows begins.
template <int kHeadDim, int kColTiles>
SS_DEVICE void begin_scores(Accumulator<Bf16> (&scores)[kColTiles], SharedOperand queries, const std::byte* keys) {
  using Block = Shape<kHeadDim>;
  const SharedOperand lines = lines_of<Bf16>(keys, 0);
  SS_UNROLL
  for (int dim = 0; dim < kHeadDim; dim += kTileDepth<Bf16>) {
    const int column = dim / kLineValues;
    const int at = dim % kLineValues * static_cast<int>(sizeof(Bf16));
    const SharedOperand q = behind(queries, column * Block::kQueryTileBytes + at);
    const SharedOperand k = behind(lines, column * Block::kCacheTileBytes + at);
    if (dim == 0) {
      multiply_lines<Sums::kNew>(scores, q, k);
    } else {
      multiply_lines(scores, q, k);
    }
  }
  commit_products();
}

/// sums += P V begins: from tile kFirst on, 128 dimensions at a time, and then what is left.
template <int kHeadDim, int kFirst = 0, int kPieceTiles>
SS_DEVICE void begin_columns(Accumulator<Bf16> (&sums)[kHeadDim / kTile], const RegisterOperand (&weights)[kPieceTiles],
                             const std::byte* values) {
  using Block = Shape<kHeadDim>;
  constexpr int kLeft = kHeadDim / kTile - kFirst;
  constexpr int kNow = kLeft >= kTilesAtOnce ? kTilesAtOnce : kLeft >= 4 ? 4 : 2;
  using Columns = Accumulator<Bf16>[kNow];
  const SharedOperand lines =
      transposed_lines_of(values + kFirst * kTile / kLineValues * Block::kCacheTileBytes, 0, Block::kCacheTileBytes);
  SS_UNROLL
  for (int k = 0; k < kPieceTiles; ++k) {
    multiply_transposed(reinterpret_cast<Columns&>(sums[kFirst]), weights[k],
                        behind(lines, k * kTile * kSwizzledLineBytes));
  }
  if constexpr (kLeft > kNow) begin_columns<kHeadDim, kFirst + kNow>(sums, weights, values);
}

// A lane has values of two rows of its warp, which it shares with three neighbours: columns are spread over them.
constexpr int kLaneRows = 2;
constexpr int kRowLanes = 4;
/// Which of the lane's rows its i-th value of a tile is of, as accumulator_row() has it.
SS_DEVICE constexpr int lane_row(int i) {
  return i / 2 % kLaneRows;
}

/// The softmax of a lane's two rows, as far as it has come.
struct RunningSoftmax {
  float factor;  ///< what makes a score the exponent of 2
  float largest[kLaneRows] = {kNothing, kNothing};
  float sum[kLaneRows] = {};  ///< over this lane's columns

  /// Turns scores into weights. `rescale` is what older sums are to be multiplied with.
  template <int kColTiles>
  SS_DEVICE void update(Accumulator<Bf16> (&scores)[kColTiles], float (&rescale)[kLaneRows]) {
    float shift[kLaneRows];
    SS_UNROLL
    for (int r = 0; r < kLaneRows; ++r) {
      float now = largest[r];
      SS_UNROLL
      for (int j = 0; j < kColTiles; ++j) {
        SS_UNROLL
        for (int i = 0; i < kAccumulators; ++i) {
          if (lane_row(i) == r) now = fmaxf(now, scores[j].value[i]);
        }
      }
      now = max_lanes(now, kRowLanes);
      // Where nothing was seen yet every weight is 2^(-inf - 0) = 0, and not NaN.
      shift[r] = now == kNothing ? 0.0F : now * factor;
      rescale[r] = fast_exp2(largest[r] * factor - shift[r]);
      largest[r] = now;
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

/// Scores are capped, and nothing is left of positions that a row does not see.
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
      if (!seen) scores[j].value[i] = kNothing;
    }
  }
}

/// Weights as A of the next product: lanes have them as they have the scores' sums.
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
  constexpr int kPiece = Block::kPiece;
  constexpr int kPieceTiles = kPiece / kTile;
  constexpr int kDimTiles = kHeadDim / kTile;
  const int n_tiles = *a.batch.n_query_tiles;
  if (block_y() >= n_tiles) return;
  // The last tokens of a sequence see the most: first, so that no block begins with them when the others are done.
  const QueryTile tile = a.batch.query_tiles[n_tiles - 1 - block_y()];
  const int kv_head = block_z();
  const int group_heads = a.n_heads / a.kv.n_kv_heads;
  const Rows rows{.first = block_x() * kRows,
                  .end = tile.n_tokens * group_heads - block_x() * kRows,
                  .group_heads = group_heads,
                  .first_query = std::int64_t{tile.first_token} * a.n_heads + std::int64_t{kv_head} * group_heads};
  if (rows.end <= 0) return;
  const int n_rows = rows.end < kRows ? rows.end : kRows;
  if (tile.seq < 0) {  // padding gets something finite
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
  const int first = begin / kPiece * kPiece;
  const int n_pieces = (end - first + kPiece - 1) / kPiece;

  LineFinder finder(a, first + thread_x(), kPiece);
  const auto next_line = [&] { return finder.next(a, pages, kv_head, kPiece, begin, end); };
  const auto keep_line = [&](int piece, int line) {
    if (thread_x() < kPiece) shared.lines[piece % kLineSlots][thread_x()] = line;
  };
  const auto copy = [&](const Bf16* cache, int piece,
                        std::byte(&to)[kSlots][Block::kColumns * Block::kCacheTileBytes]) {
    copy_piece<kHeadDim>(a, cache, shared.lines[piece % kLineSlots], to[piece % kSlots]);
  };
  keep_line(0, next_line());
  keep_line(1, next_line());
  sync_block();  // the lines of two pieces are there
  copy(a.kv.keys, 0, shared.keys);
  commit_copies();
  copy(a.kv.values, 0, shared.values);
  if (n_pieces > 1) copy(a.kv.keys, 1, shared.keys);
  commit_copies();
  keep_line(2, next_line());
  stage_queries<kHeadDim>(a, rows, shared.queries);

  // Rows behind the last are as it, and nobody stores them.
  const int warp_row = warp() * kTile;
  const int position[kLaneRows] = {position_of(warp_row + accumulator_row(0)),
                                   position_of(warp_row + accumulator_row(2))};
  const int warp_first = position_of(warp_row);
  const int warp_last = position_of(warp_row + kTile - 1);
  const SharedOperand queries =
      lines_of<Bf16>(shared.queries + warp() / kWarpgroupWarps * kWarpgroupRows * kSwizzledLineBytes, 0);
  const float scale = a.scale < 0.0F ? -a.scale : a.scale;
  Accumulator<Bf16> scores[kPieceTiles];
  Accumulator<Bf16> sums[kDimTiles] = {};
  RegisterOperand weights[kPieceTiles];
  // Not zero, or positions that are not seen would weigh NaN.
  RunningSoftmax softmax{.factor = a.softcap > 0.0F ? kLog2E : fmaxf(scale * kLog2E, 1e-30F)};
  float rescale[kLaneRows];
  const auto weigh = [&](int piece) {
    const int at = first + piece * kPiece;
    if (a.softcap > 0.0F) cap_scores(scores, a.softcap, scale);
    const bool all_seen = at + kPiece - 1 <= warp_first && (a.window <= 0 || at > warp_last - a.window);
    if (!all_seen) mask_scores(scores, at, position, a.window);
    softmax.update(scores, rescale);
  };

  meet<1>();  // queries and the first keys are there
  fence_products();
  begin_scores<kHeadDim>(scores, queries, shared.keys[0]);
  wait_for_products<0>(scores);
  weigh(0);
  narrow_weights(scores, weights);
  for (int piece = 1; piece < n_pieces; ++piece) {
    meet<0>();  // this piece's keys are there, the last one's values, and nobody reads the slots to fill any more
    fence_products();  // scores, sums and weights are as they should be
    begin_scores<kHeadDim>(scores, queries, shared.keys[piece % kSlots]);
    begin_columns<kHeadDim>(sums, weights, shared.values[(piece - 1) % kSlots]);
    commit_products();
    copy(a.kv.values, piece, shared.values);
    if (piece + 1 < n_pieces) copy(a.kv.keys, piece + 1, shared.keys);
    commit_copies();
    const int line = next_line();
    wait_for_products<1>(scores);  // while the sums go on
    weigh(piece);
    keep_line(piece + 2, line);
    const bool is_rescaled = any_lane(rescale[0] != 1.0F || rescale[1] != 1.0F);
    // The sums' summands are all weights: ptxas had moved them behind the wait.
    compute_before_wait(softmax.sum[0] + softmax.sum[1]);
    wait_for_products<0>(sums);  // and the weights may be written
    if (is_rescaled) {
      SS_UNROLL
      for (int j = 0; j < kDimTiles; ++j) {
        SS_UNROLL
        for (int i = 0; i < kAccumulators; ++i) sums[j].value[i] *= rescale[lane_row(i)];
      }
    }
    narrow_weights(scores, weights);
  }
  meet<0>();  // the last values are there
  fence_products();
  begin_columns<kHeadDim>(sums, weights, shared.values[(n_pieces - 1) % kSlots]);
  commit_products();
  wait_for_products<0>(sums);

  SS_UNROLL
  for (int r = 0; r < kLaneRows; ++r) {
    const int row = warp_row + accumulator_row(2 * r);
    const float share = 1.0F / sum_lanes(softmax.sum[r], kRowLanes);
    if (row >= n_rows) continue;
    float* const out = a.out + rows.place(a, row);
    SS_UNROLL
    for (int j = 0; j < kDimTiles; ++j) {
      SS_UNROLL
      for (int i = 0; i < kAccumulators; i += 2) {
        const int dim = j * kTile + accumulator_col(i);
        if (lane_row(i) != r || dim >= a.kv.head_dim) continue;
        store_pair(out + dim, sums[j].value[i] * share, sums[j].value[i + 1] * share);
      }
    }
  }
}

template <int kHeadDim>
SS_KERNEL(kThreads)
warpgroup_attention_kernel(AttentionArguments a) {
  // The host launches it where the device has warpgroups, and nowhere else: there it is empty.
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
