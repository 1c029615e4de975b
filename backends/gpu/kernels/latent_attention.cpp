// Attention over latents (multi-head latent attention) on the matrix cores (mma, MFMA, WMMA). All query heads share one KV head, whose
// cache has keys alone: the value of a position is the beginning of its key.
//
//   out[t, h] = sum_j p[j] key[j, :value_dim],   p = softmax_j(softcap(scale * q[t, h] . key[j])),   j <= position of t,
//   and j > position - window when window > 0; with sinks, exp(sinks[h]) joins the sum of the softmax
//
// Shapes       q: [T, n_heads, head_dim]; out: [T, n_heads, value_dim]; KV cache: [n_pages, page_tokens, head_dim];
//              partial: [splits, n_heads, value_dim]; partial_softmax: [splits, n_heads, 2]
// Dtypes       q, out, partial: f32; KV cache: BF16; q and p are rounded to BF16 for the products
// Accumulator  f32: scores, running maximum, running sum, output
// Aliasing     out may be q where their rows are of one length: queries are read before results are written
// Alignment    cache rows to 16 bytes, as head_dim is a multiple of 8
// Source       DeepSeek-V2, arXiv:2405.04434, section 2.1.2; FlashAttention-2, arXiv:2307.08691, algorithm 1; decode_split.h
//
// A row is a query head of a token, and since all rows have the same keys, heads and tokens alike fill a tile: a block takes 16 or 32
// rows, of one token that decodes or of several. Eight or four of its warps share 16 rows, with a part of the dimensions each. A warp
// keeps its part of the queries in registers and multiplies it with that of the keys; the parts of every score are added in shared
// memory; then it multiplies the probabilities with its part of the values. So the warps of a row read different parts of a tile of
// keys, and a position of the cache is loaded once for its score and for its value. Keys of the next tile are copied meanwhile where the target has
// asynchronous copies. AMD's shared memory holds one tile, and registers hold the queries and the sums but no keys besides.
//
// A decode step divides the cache into shares (decode_split.h), whose sums a second kernel adds: those of 128 heads are too many for
// the last block to add alone.

#include "core/checked.h"
#include "gpu/kernels/decode_split.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/portable/shared_copy.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kKvTile = 32;  ///< positions of one tile of keys
constexpr int kWarps = 8;
constexpr int kStages = kHasAsyncCopies ? 2 : 1;
constexpr int kScoreStride = kKvTile + 8;
constexpr int kWeightStride = kKvTile + 8;

/// Warps that share 16 rows. Those with a quarter of the dimensions keep so many queries and sums that gfx11, whose fragments take twice
/// the registers, spilled. Selected by the lanes of a warp, since HIP's host pass does not know the target.
template <bool kFewRows, int kLanes>
inline constexpr int kPartsOf = kFewRows || (!kHasAsyncCopies && kLanes == 32) ? 8 : 4;

/// Dimensions of keys and of values, filled up with zeros.
template <int kOfKeys, int kOfValues>
struct LatentDims {
  static constexpr int kKeys = kOfKeys;
  static constexpr int kValues = kOfValues;
};
using LargeLatents = LatentDims<kMaxLatentHeadDim, kMaxLatentDim>;
using SmallLatents = LatentDims<192, 128>;

struct LatentAttentionArguments {
  AttentionArguments attention;
  Divisor by_heads;  ///< by n_heads
};

/// Shared memory of a block, of which kOwnParts warps share 16 rows.
template <typename Dims, int kOwnParts>
struct Shared {
  static constexpr int kParts = kOwnParts;
  static constexpr int kRowTiles = kWarps / kParts;
  static constexpr int kRows = kRowTiles * kTile;
  static constexpr int kKeySteps =
      (Dims::kKeys / kTile + kParts - 1) / kParts;                    ///< of a warp's scores; some may have one less
  static constexpr int kValueTiles = Dims::kValues / kTile / kParts;  ///< of a warp's sums
  static constexpr int kStride = Dims::kKeys + 8;
  /// Before the keys come, the last one holds the queries.
  Bf16 keys[kStages][kKvTile * kStride];
  float scores[kWarps][kTile * kScoreStride];  ///< each warp's part of them
  Bf16 weights[kRowTiles][kTile * kWeightStride];
  /// The factor for the older sums of a row; after the last tile their divisor.
  float rescale[kRowTiles][kTile];
  static_assert(kRows <= kKvTile && kRows <= kMaxLatentHeads);
  static_assert(Dims::kKeys % kTile == 0 && Dims::kValues % (kTile * kParts) == 0 && Dims::kValues <= Dims::kKeys);
};

/// Rows of a block: consecutive query heads, of one token or of several.
struct QueryRows {
  int first;  ///< token * n_heads + head
  int n_rows;
};

/// In the place of a row of `partial`: the results are whole, and go to the rows of `out`.
constexpr int kNoPartialRow = -1;

/// This thread's part in copying tiles of keys to shared memory: some of the 16-byte vectors of one position.
template <typename Dims, typename Block>
class KeyCopier {
  static constexpr int kVecs = Dims::kKeys / 8;
  static constexpr int kThreads = kWarps * kWarpSize / kKvTile;  ///< of a position
  static constexpr int kEach = (kVecs + kThreads - 1) / kThreads;

 public:
  SS_DEVICE KeyCopier(const AttentionArguments& a, int seq, int end)
      : a_(a), pages_(a.batch.block_table + std::int64_t{seq} * a.batch.max_pages_per_seq), end_(end) {}

  /// Copies the keys of positions [first, first + kKvTile), asynchronously where the target can; zeros from `end` on.
  SS_DEVICE void copy(int first, Bf16* to) const {
    const int thread =
        without_history(thread_x());  // places in a tile are computed again for each, since AMD's compiler spilled
    const int line = thread / kThreads;
    const int first_vec = thread % kThreads;
    const int position = first + line;
    const bool exists = position < end_;
    const Bf16* from = a_.kv.keys;
    if (exists) {
      const int page = divide(position, a_.kv.by_page);
      const int row = pages_[page] * a_.kv.page_tokens + (position - page * a_.kv.page_tokens);  // a slot: below 2^31
      from += std::int64_t{row} * a_.kv.head_dim;
    }
    to += line * Block::kStride;
    if constexpr (kHasAsyncCopies) {
      SS_UNROLL
      for (int u = 0; u < kEach; ++u) {
        const int vec = first_vec + u * kThreads;
        const bool in_range = exists && vec * 8 < a_.kv.head_dim;
        if (vec < kVecs) copy_to_shared(to + vec * 8, from + (in_range ? vec * 8 : 0), in_range);
      }
      commit_copies();
    } else {
      constexpr int kAtOnce =
          3;  // loads in flight; those of vectors that do not exist are loads of the first one, and not branches
      for (int u = 0; u < kEach; u += kAtOnce) {
        Chunk held[kAtOnce];
        SS_UNROLL
        for (int i = 0; i < kAtOnce; ++i) {
          const int vec = first_vec + (u + i) * kThreads;
          const bool in_range = exists && vec * 8 < a_.kv.head_dim;
          held[i] = load_chunk(from + (in_range ? vec * 8 : 0));
          if (!in_range) held[i] = {};
        }
        SS_UNROLL
        for (int i = 0; i < kAtOnce; ++i) {
          const int vec = first_vec + (u + i) * kThreads;
          if (vec < kVecs) store_chunk(to + vec * 8, held[i]);
        }
      }
    }
  }

 private:
  const AttentionArguments& a_;
  const std::int32_t* pages_;
  int end_;
};

/// Stores the queries of the block's rows as BF16, zeros past the last row and past head_dim.
template <typename Dims, typename Block>
SS_DEVICE void stage_queries(const AttentionArguments& a, const QueryRows& rows, Bf16* to) {
  constexpr int kVecs = Dims::kKeys / 8;
  for (int i = thread_x(); i < Block::kRows * kVecs; i += kWarps * kWarpSize) {
    const int row = i / kVecs;
    const int dim = i % kVecs * 8;
    Chunk chunk{};
    if (row < rows.n_rows && dim < a.kv.head_dim) {
      const float* const query = a.q + (std::int64_t{rows.first} + row) * a.kv.head_dim + dim;
      float values[8];
      SS_UNROLL
      for (int half = 0; half < 8; half += 4) {
        const auto quad = load_words<Quad>(query + half);
        SS_UNROLL
        for (int d = 0; d < 4; ++d) values[half + d] = quad.value[d];
      }
      chunk = narrow_vec(values);
    }
    store_chunk(to + row * Block::kStride + dim, chunk);
  }
}

/// The softmax of one row of scores, in powers of 2. The lanes of a row have it in common, each with some columns of a tile.
template <int kParts>
class RowSoftmax {
 public:
  static constexpr int kRows = kTile / kParts;       ///< of a warp
  static constexpr int kLanes = kWarpSize / kRows;   ///< of a row
  static constexpr int kColumns = kKvTile / kLanes;  ///< of a lane
  static SS_DEVICE int row(int part) { return part * kRows + lane() / kLanes; }

  /// Adds the parts of the scores of positions [first, first + kKvTile), of which the row sees [begin, end). Stores their weights,
  /// and the factor for the sums of earlier positions.
  template <typename Block>
  SS_DEVICE void add_tile(const AttentionArguments& a, Block& shared, int row_tile, int row, int first, int begin,
                          int end) {
    float scores[kColumns];
    float row_max = row_max_;
    SS_UNROLL
    for (int u = 0; u < kColumns; ++u) {
      const int col = lane() % kLanes + u * kLanes;
      float score = 0.0F;
      SS_UNROLL
      for (int part = 0; part < kParts; ++part) {
        score += shared.scores[row_tile * kParts + part][row * kScoreStride + col];
      }
      const bool seen = first + col >= begin && first + col < end;
      scores[u] = seen ? kLog2E * soft_cap(a.scale * score, a.softcap) : kNegInf;
      row_max = larger(scores[u], row_max);
    }
    row_max = max_lanes(row_max, kLanes);
    const float shift = SoftmaxState::shift(row_max);
    const float rescale = fast_exp2(row_max_ - shift);
    float sum = 0.0F;
    SS_UNROLL
    for (int u = 0; u < kColumns; ++u) {
      const float weight = fast_exp2(scores[u] - shift);
      sum += weight;
      shared.weights[row_tile][row * kWeightStride + lane() % kLanes + u * kLanes] = narrow(weight);
    }
    sum_ = sum_ * rescale + sum_lanes(sum, kLanes);
    row_max_ = row_max;
    if (lane() % kLanes == 0) shared.rescale[row_tile][row] = rescale;
  }

  [[nodiscard]] SS_DEVICE float row_max() const { return row_max_; }
  [[nodiscard]] SS_DEVICE float sum() const { return sum_; }

 private:
  float row_max_ = kNegInf;
  float sum_ = 0.0F;
};

/// Attends from the block's rows to positions [begin, end) of a sequence's cache, as far as each row sees them. begin < end.
/// `partial_row`: the row of `partial` and `partial_softmax` that the first of these rows has, where the positions are one share of several.
template <typename Dims, typename Block>
SS_DEVICE void attend(const LatentAttentionArguments& arguments, const QueryRows& rows, int seq, int begin, int end,
                      int partial_row) {
  constexpr int kStride = Block::kStride;
  constexpr int kParts = Block::kParts;
  const AttentionArguments& a = arguments.attention;
  auto& shared = shared_memory<Block>();
  const int row_tile = warp() / kParts;
  const int part = warp() % kParts;
  const KeyCopier<Dims, Block> copier(a, seq, end);
  if constexpr (kHasAsyncCopies) copier.copy(begin, shared.keys[0]);
  stage_queries<Dims, Block>(a, rows, shared.keys[kStages - 1]);

  // What this lane's row of the softmax sees.
  const int softmax_row = RowSoftmax<kParts>::row(part);
  const int own_row = row_tile * kTile + softmax_row;
  const bool is_row = own_row < rows.n_rows;
  const int position = a.batch.positions[divide(rows.first + (is_row ? own_row : 0), arguments.by_heads)];
  const int seen_begin = a.window > 0 ? position - a.window + 1 : 0;
  const int seen_end = !is_row ? 0 : position + 1 < end ? position + 1 : end;
  RowSoftmax<kParts> softmax;

  sync_block();  // the queries are stored
  // Steps of 16 dimensions are dealt to the warps in turns.
  const auto dim_of = [&](int k) { return (part + k * kParts) * kTile; };
  const auto has = [&](int k) { return (k + 1) * kParts * kTile <= Dims::kKeys || dim_of(k) < Dims::kKeys; };
  Fragment<Bf16> queries[Block::kKeySteps];
  SS_UNROLL
  for (int k = 0; k < Block::kKeySteps; ++k) {
    if (has(k)) queries[k] = load_a(shared.keys[kStages - 1] + row_tile * kTile * kStride + dim_of(k), kStride);
  }
  Accumulator<Bf16> sums[Block::kValueTiles] = {};
  int stage = 0;
  for (int first = begin; first < end; first += kKvTile) {
    if constexpr (!kHasAsyncCopies) {
      sync_block();  // all reads of the last tile, or of the queries, are done
      copier.copy(first, shared.keys[0]);
    }
    wait_for_copies<0>();
    sync_block();  // the keys have arrived, and all reads of the other stage are done
    const Bf16* const keys = shared.keys[stage];
    stage = kStages - 1 - stage;
    if constexpr (kHasAsyncCopies) {
      if (first + kKvTile < end) copier.copy(first + kKvTile, shared.keys[stage]);
    }
    Accumulator<Bf16> scores[kKvTile / kTile] = {};
    SS_UNROLL
    for (int k = 0; k < Block::kKeySteps; ++k) {
      if (!has(k)) break;
      SS_UNROLL
      for (int j = 0; j < kKvTile / kTile; ++j) {
        multiply(scores[j], queries[k], load_b(keys + j * kTile * kStride + dim_of(k), kStride));
      }
    }
    SS_UNROLL
    for (int j = 0; j < kKvTile / kTile; ++j) {
      SS_UNROLL
      for (int v = 0; v < kAccumulators; ++v) {
        shared.scores[warp()][accumulator_row(v) * kScoreStride + j * kTile + accumulator_col(v)] = scores[j].value[v];
      }
    }
    sync_block();  // all parts of the scores are stored
    softmax.add_tile(a, shared, row_tile, softmax_row, first, seen_begin, seen_end);
    sync_block();  // the weights are stored
    SS_UNROLL
    for (int j = 0; j < Block::kValueTiles; ++j) {
      SS_UNROLL
      for (int v = 0; v < kAccumulators; ++v) sums[j].value[v] *= shared.rescale[row_tile][accumulator_row(v)];
    }
    SS_UNROLL
    for (int k = 0; k < kKvTile; k += kTile) {
      const Fragment<Bf16> weights = load_a(shared.weights[row_tile] + k, kWeightStride);
      SS_UNROLL
      for (int j = 0; j < Block::kValueTiles; ++j) {
        multiply(sums[j], weights,
                 load_b_transposed(keys + k * kStride + (part * Block::kValueTiles + j) * kTile, kStride));
      }
    }
  }

  sync_block();  // all reads of the last factors are done
  const bool is_whole = partial_row == kNoPartialRow;
  if (is_row && lane() % RowSoftmax<kParts>::kLanes == 0) {
    const int row = rows.first + without_history(own_row);
    const int head = row - divide(row, arguments.by_heads) * a.n_heads;
    shared.rescale[row_tile][softmax_row] =
        is_whole ? softmax.sum() + weight_of_sink_in_base_2(a, head, softmax.row_max()) : 1.0F;
    if (!is_whole) {
      float* const to = a.partial_softmax + (std::int64_t{partial_row} + own_row) * 2;
      store_pair(to, softmax.row_max(), softmax.sum());
    }
  }
  sync_block();  // the divisors are stored
  float* const to =
      is_whole ? a.out + std::int64_t{rows.first} * a.value_dim : a.partial + std::int64_t{partial_row} * a.value_dim;
  SS_UNROLL
  for (int j = 0; j < Block::kValueTiles; ++j) {
    SS_UNROLL
    for (int v = 0; v < kAccumulators; v += kNeighbours) {
      const int row = row_tile * kTile + accumulator_row(v);
      const int dim = (part * Block::kValueTiles + j) * kTile + accumulator_col(v);
      if (row >= rows.n_rows || dim >= a.value_dim) continue;
      const float divisor = shared.rescale[row_tile][accumulator_row(v)];
      float* const out = to + std::int64_t{row} * a.value_dim + dim;
      if constexpr (kNeighbours == 2) {
        store_pair(out, sums[j].value[v] / divisor, sums[j].value[v + 1] / divisor);
      } else {
        *out = sums[j].value[v] / divisor;
      }
    }
  }
}

/// Blocks (query tile, rows of it): sequences with several new tokens, and padding.
template <typename Dims>
SS_KERNEL(kWarps* kWarpSize)
latent_prefill_kernel(LatentAttentionArguments arguments) {
  using Block = Shared<Dims, kPartsOf<false, kWarpSize>>;
  constexpr int kRows = Block::kRows;
  const AttentionArguments& a = arguments.attention;
  if (block_x() >= *a.batch.n_query_tiles) return;
  const QueryTile tile = a.batch.query_tiles[block_x()];
  const int n_before = block_y() * kRows;  // rows of the tile that other blocks take
  const int n_left = tile.n_tokens * a.n_heads - n_before;
  if (n_left <= 0) return;
  const QueryRows rows{tile.first_token * a.n_heads + n_before, n_left < kRows ? n_left : kRows};
  if (tile.seq < 0) {  // padding tokens get zeros, which stay finite in later layers
    float* const out = a.out + std::int64_t{rows.first} * a.value_dim;
    for (int i = thread_x(); i < rows.n_rows * a.value_dim; i += n_threads()) out[i] = 0.0F;
    return;
  }
  const auto position_of = [&](int row) { return a.batch.positions[divide(row, arguments.by_heads)]; };
  const int first_position = position_of(rows.first);
  const int end = position_of(rows.first + rows.n_rows - 1) + 1;
  const int begin = a.window > 0 && first_position >= a.window ? first_position - a.window + 1 : 0;
  attend<Dims, Block>(arguments, rows, tile.seq, begin, end, kNoPartialRow);
}

/// Blocks (rows of a token, share): sequences with one new token.
template <typename Dims, bool kFewRows>
SS_KERNEL(kWarps* kWarpSize)
latent_decode_kernel(LatentAttentionArguments arguments) {
  using Block = Shared<Dims, kPartsOf<kFewRows, kWarpSize>>;
  constexpr int kRows = Block::kRows;
  const AttentionArguments& a = arguments.attention;
  const DecodeSplit split = a.batch.decode_splits[block_y()];
  if (split.seq < 0) return;
  const Span span = span_of(split, a.window);
  if (span.begin >= span.end) return;
  const int first_head = block_x() * kRows;
  const int n_left = a.n_heads - first_head;
  const QueryRows rows{split.token * a.n_heads + first_head, n_left < kRows ? n_left : kRows};
  const int partial_row = split.n_splits > 1 ? block_y() * a.n_heads + first_head : kNoPartialRow;
  attend<Dims, Block>(arguments, rows, split.seq, span.begin, span.end, partial_row);
}

constexpr int kCombineWarps = 4;
constexpr int kCombineDims = 128;  ///< dimensions of a warp

struct CombineShared {
  float weights[kCombineWarps][kMaxDecodeSplits];
};

/// Blocks (head and dimensions, share): the blocks of a sequence's first share add up all of its shares, one warp for kCombineDims
/// dimensions of a head.
SS_KERNEL(kCombineWarps* kWarpSize) combine_latents_kernel(LatentAttentionArguments arguments) {
  const AttentionArguments& a = arguments.attention;
  const DecodeSplit split = a.batch.decode_splits[block_y()];
  if (split.seq < 0 || split.index > 0 || split.n_splits == 1) return;
  auto& shared = shared_memory<CombineShared>();
  const int n_ranges = (a.value_dim + kCombineDims - 1) / kCombineDims;
  const int head = block_x() / n_ranges * kCombineWarps + warp();
  if (head >= a.n_heads) return;
  const int begin = block_x() % n_ranges * kCombineDims;
  const int end = begin + kCombineDims < a.value_dim ? begin + kCombineDims : a.value_dim;
  combine_splits(a, split, span_of(split, a.window), block_y(), head, {begin, end}, shared.weights[warp()]);
}

template <typename Dims, int kLanes>
Result<void> launch_prefill(const LaunchContext& context, const LatentAttentionArguments& arguments) {
  using Block = Shared<Dims, kPartsOf<false, kLanes>>;
  static_assert(sizeof(Block) <= (kHasAsyncCopies ? 99 << 10 : 64 << 10));
  const AttentionArguments& a = arguments.attention;
  return launch(context.stream, "latent_prefill", latent_prefill_kernel<Dims>,
                {.grid = {static_cast<std::uint32_t>(a.max_query_tiles),
                          static_cast<std::uint32_t>(ceil_divide(kQueryTileTokens * a.n_heads, Block::kRows))},
                 .threads = static_cast<std::uint32_t>(kWarps * kLanes),
                 .shared_bytes = sizeof(Block)},
                arguments);
}

template <typename Dims, bool kFewRows, int kLanes>
Result<void> launch_decode(const LaunchContext& context, const LatentAttentionArguments& arguments) {
  using Block = Shared<Dims, kPartsOf<kFewRows, kLanes>>;
  const AttentionArguments& a = arguments.attention;
  return launch(context.stream, "latent_decode", latent_decode_kernel<Dims, kFewRows>,
                {.grid = {static_cast<std::uint32_t>(ceil_divide(a.n_heads, Block::kRows)),
                          static_cast<std::uint32_t>(a.max_decode_splits)},
                 .threads = static_cast<std::uint32_t>(kWarps * kLanes),
                 .shared_bytes = sizeof(Block)},
                arguments);
}

Result<void> launch_combine(const LaunchContext& context, const LatentAttentionArguments& arguments) {
  const AttentionArguments& a = arguments.attention;
  const std::int32_t n_ranges = ceil_divide(a.value_dim, kCombineDims);
  return launch(context.stream, "combine_latents", combine_latents_kernel,
                {.grid = {static_cast<std::uint32_t>(n_ranges * ceil_divide(a.n_heads, kCombineWarps)),
                          static_cast<std::uint32_t>(a.max_decode_splits)},
                 .threads = static_cast<std::uint32_t>(kCombineWarps * context.warp_size),
                 .shared_bytes = sizeof(CombineShared)},
                arguments);
}

template <typename Dims, int kLanes>
Result<void> launch_with(const LaunchContext& context, const LatentAttentionArguments& arguments) {
  const AttentionArguments& a = arguments.attention;
  if (a.max_query_tiles > 0) SS_TRY_VOID((launch_prefill<Dims, kLanes>(context, arguments)));
  if (a.max_decode_splits == 0) return {};
  SS_TRY_VOID(a.n_heads <= kTile ? (launch_decode<Dims, true, kLanes>(context, arguments))
                                 : (launch_decode<Dims, false, kLanes>(context, arguments)));
  return launch_combine(context, arguments);
}

template <typename Dims>
Result<void> launch_for(const LaunchContext& context, const LatentAttentionArguments& arguments) {
  return context.warp_size == 32 ? launch_with<Dims, 32>(context, arguments)
                                 : launch_with<Dims, 64>(context, arguments);
}

}  // namespace

Result<void> launch_latent_attention(const LaunchContext& context, const AttentionArguments& arguments) {
  const LatentAttentionArguments of_latents{.attention = arguments, .by_heads = make_divisor(arguments.n_heads)};
  if (arguments.kv.head_dim <= SmallLatents::kKeys && arguments.value_dim <= SmallLatents::kValues) {
    return launch_for<SmallLatents>(context, of_latents);
  }
  return launch_for<LargeLatents>(context, of_latents);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
