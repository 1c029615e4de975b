// Attention over latents (multi-head latent attention) on the matrix cores (mma, MFMA, WMMA). All query heads share one KV head, whose
// cache has keys alone: the value of a position is the beginning of its key.
//
//   out[t, h] = sum_j p[j] key[j, :value_dim],   p = softmax_j(softcap(scale * q[t, h] . key[j])),   j <= position of t,
//   and j > position - window when window > 0; with sinks, exp(sinks[h]) joins the sum of the softmax
//
// Shapes       q: [T, n_heads, head_dim]; out: [T, n_heads, value_dim]; KV cache: [n_pages, page_tokens, head_dim];
//              sinks: [n_heads] or null; partial: [splits, n_heads, value_dim]; partial_softmax: [splits, n_heads, 2]
// Dtypes       q, out, sinks, partial, partial_softmax: f32; KV cache: BF16; q and p are rounded to BF16 for the products
// Accumulator  f32: scores, running maximum, running sum, output
// Aliasing     out may be q where their rows are of one length: queries are read before results are written
// Alignment    rows of the cache, q, out and partial to 16 bytes, as head_dim and value_dim are multiples of 8
// Source       DeepSeek-V2, arXiv:2405.04434, section 2.1.2; FlashAttention-2, arXiv:2307.08691, algorithm 1; decode_split.h
//
// One query head of one token is a row. All rows of a sequence have the same keys, so that the rows of a tile may be heads of one token or
// of several. A block takes 16 or 32 rows (in decode they are of one token) and goes through the positions in tiles of 32. Its eight warps
// divide both products of a tile. For the scores a warp takes all rows, half of the positions and a quarter of the dimensions: it keeps
// that quarter of the queries in registers, and the four parts of every score are added in shared memory. For the results it takes all
// rows and an eighth of the values. So a fragment of keys or values is loaded once for all rows, and a position of the cache comes to
// shared memory once for its score and its value. Meanwhile keys of the next tile are copied, where the target has asynchronous copies.
// AMD's shared memory holds one tile, and its registers hold the queries and the sums, which leaves none for keys.
//
// A decode step divides the cache into shares (decode_split.h). A second kernel adds the sums of all shares of a sequence, by many blocks:
// in decode_attention.cpp the last block to finish adds them, but a block has 32 heads of 512 values here.

#include "core/checked.h"
#include "gpu/kernels/decode_split.h"
#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/portable/shared_copy.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kKvTile = 32;  ///< positions of one tile of keys
constexpr int kWarps = 8;
constexpr int kParts = 4;  ///< parts into which the dimensions of a score are divided
constexpr int kHalves = kWarps / kParts;
static_assert(kHalves * kTile == kKvTile);
constexpr int kStages = kHasAsyncCopies ? 2 : 1;
constexpr int kScoreStride = kKvTile + 8;
constexpr int kWeightStride = kKvTile + 8;

/// Tiles of 16 rows in a block. Fragments take twice the registers on gfx11, which has too few for the queries and sums of 32 rows.
/// Selected by the lanes of a warp, since the target is unknown in HIP's host pass.
template <bool kFewRows, int kLanes>
inline constexpr int kRowTilesOf = kFewRows || (!kHasAsyncCopies && kLanes == 32) ? 1 : 2;

/// The dimensions of keys, padded with zeros, and of the sums of values, of which those past value_dim are not stored.
template <int kOfKeys, int kOfValues>
struct LatentDims {
  static constexpr int kKeys = kOfKeys;
  static constexpr int kValues = kOfValues;
  static constexpr int kKeySteps = kKeys / kTile / kParts;      ///< steps of a warp along its part of a key
  static constexpr int kValueTiles = kValues / kTile / kWarps;  ///< tiles of a warp across its part of the values
  static_assert(kKeys % (kTile * kParts) == 0 && kValues % (kTile * kWarps) == 0 && kValues <= kKeys);
};
using LargeLatents = LatentDims<kMaxLatentHeadDim, kMaxLatentDim>;
using SmallLatents = LatentDims<192, 128>;

struct LatentAttentionArguments {
  AttentionArguments attention;
  Divisor by_heads;  ///< by n_heads
};

/// Shared memory of a block.
template <typename Dims, int kOwnRowTiles>
struct Shared {
  static constexpr int kRowTiles = kOwnRowTiles;
  static constexpr int kRows = kRowTiles * kTile;
  static constexpr int kStride = Dims::kKeys + 8;
  /// The last stage holds the queries until keys are loaded into it.
  Bf16 keys[kStages][kKvTile * kStride];
  float scores[kParts][kRows * kScoreStride];  ///< kParts partial sums of each score
  Bf16 weights[kRows * kWeightStride];
  /// The factor for the older sums of a row; after the last tile their divisor.
  float rescale[kRows];
  static_assert(kRows <= kKvTile && kRows <= kMaxLatentHeads);
};

/// Rows of a block: consecutive query heads, of one token or of several.
struct QueryRows {
  int first;  ///< token * n_heads + head
  int n_rows;
};

/// Value of `partial_row` where the block computes whole results, which go to `out`.
constexpr int kNoPartialRow = -1;

/// This thread's part in copying tiles of keys to shared memory: some of the 16-byte vectors of one position.
template <typename Dims, typename Block>
class KeyCopier {
  static constexpr int kVecs = Dims::kKeys / 8;
  static constexpr int kThreads = kWarps * kWarpSize / kKvTile;  ///< threads that copy one position
  static constexpr int kEach = (kVecs + kThreads - 1) / kThreads;

 public:
  SS_DEVICE KeyCopier(const AttentionArguments& a, int seq, int end)
      : a_(a), pages_(a.batch.block_table + std::int64_t{seq} * a.batch.max_pages_per_seq), end_(end) {}

  /// Looks up where this thread's position of the tile [first, first + kKvTile) is in the cache.
  SS_DEVICE void find(int first) {
    const int position = first + line();
    from_ = nullptr;
    if (position >= end_) return;
    const int page = divide(position, a_.kv.by_page);
    const int row = pages_[page] * a_.kv.page_tokens + (position - page * a_.kv.page_tokens);  // a slot: below 2^31
    from_ = a_.kv.keys + std::int64_t{row} * a_.kv.head_dim;
  }
  /// Copies the keys of the tile that was found, asynchronously where the target can; zeros where a position does not exist.
  SS_DEVICE void copy(Bf16* to) const {
    const bool exists = from_ != nullptr;
    const Bf16* const from = exists ? from_ : a_.kv.keys;
    const int first_vec = thread() % kThreads;
    to += line() * Block::kStride;
    if constexpr (kHasAsyncCopies) {
      SS_UNROLL
      for (int u = 0; u < kEach; ++u) {
        const int vec = first_vec + u * kThreads;
        const bool in_range = exists && vec * 8 < a_.kv.head_dim;
        if (vec < kVecs) copy_to_shared(to + vec * 8, from + (in_range ? vec * 8 : 0), in_range);
      }
      commit_copies();
    } else {
      // Loads in flight. A vector that is out of range loads an existing one instead, because a branch would wait for the others.
      constexpr int kAtOnce = 3;
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
  /// Without this, AMD's compiler keeps the addresses of all vectors in registers from tile to tile, and spills others.
  static SS_DEVICE int thread() { return without_history(thread_x()); }
  static SS_DEVICE int line() { return thread() / kThreads; }

  const AttentionArguments& a_;
  const std::int32_t* pages_;
  int end_;
  const Bf16* from_ = nullptr;
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

/// The softmax of one row of scores, in powers of 2. The lanes of a row share it; each computes some columns of a tile.
template <typename Block>
class RowSoftmax {
 public:
  static constexpr int kRows = Block::kRows / kWarps;  ///< rows of a warp
  static constexpr int kLanes = kWarpSize / kRows;     ///< lanes that share a row
  static constexpr int kColumns = kKvTile / kLanes;    ///< columns of a lane
  static SS_DEVICE int row() { return warp() * kRows + lane() / kLanes; }

  /// Adds the parts of the scores of positions [first, first + kKvTile), of which the row sees [begin, end). Stores their weights,
  /// and the factor for the sums of earlier positions.
  SS_DEVICE void add_tile(const AttentionArguments& a, Block& shared, int first, int begin, int end) {
    float scores[kColumns];
    float row_max = row_max_;
    SS_UNROLL
    for (int u = 0; u < kColumns; ++u) {
      const int col = lane() % kLanes + u * kLanes;
      float score = 0.0F;
      SS_UNROLL
      for (int part = 0; part < kParts; ++part) score += shared.scores[part][row() * kScoreStride + col];
      score *= a.scale;
      if (a.softcap > 0.0F) score = a.softcap * fast_tanh(fast_divide(score, a.softcap));
      const bool seen = first + col >= begin && first + col < end;
      scores[u] = seen ? kLog2E * score : kNegInf;
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
      shared.weights[row() * kWeightStride + lane() % kLanes + u * kLanes] = narrow(weight);
    }
    sum_ = sum_ * rescale + sum_lanes(sum, kLanes);
    row_max_ = row_max;
    if (lane() % kLanes == 0) shared.rescale[row()] = rescale;
  }

  [[nodiscard]] SS_DEVICE float row_max() const { return row_max_; }
  [[nodiscard]] SS_DEVICE float sum() const { return sum_; }

 private:
  float row_max_ = kNegInf;
  float sum_ = 0.0F;
};

/// Attends from the block's rows to positions [begin, end) of a sequence's cache, as far as each row sees them. begin < end.
/// `partial_row`: the row of `partial` and `partial_softmax` that the first of these rows has, where the positions are one share of
/// several.
template <typename Dims, typename Block>
SS_DEVICE void attend(const LatentAttentionArguments& arguments, const QueryRows& rows, int seq, int begin, int end,
                      int partial_row) {
  constexpr int kStride = Block::kStride;
  constexpr int kRowTiles = Block::kRowTiles;
  const AttentionArguments& a = arguments.attention;
  auto& shared = shared_memory<Block>();
  KeyCopier<Dims, Block> copier(a, seq, end);
  if constexpr (kHasAsyncCopies) {
    copier.find(begin);
    copier.copy(shared.keys[0]);
    copier.find(begin + kKvTile);
  }
  stage_queries<Dims, Block>(a, rows, shared.keys[kStages - 1]);

  // What this lane's row of the softmax sees.
  const int own_row = RowSoftmax<Block>::row();
  const bool is_row = own_row < rows.n_rows;
  const int position = a.batch.positions[divide(rows.first + (is_row ? own_row : 0), arguments.by_heads)];
  const int seen_begin = a.window > 0 ? position - a.window + 1 : 0;
  const int seen_end = !is_row ? 0 : position + 1 < end ? position + 1 : end;
  RowSoftmax<Block> softmax;

  // The warp's part of the scores: dimensions from first_dim on, and positions of a tile from first_col on.
  const int part = warp() % kParts;
  const int first_dim = part * Dims::kKeySteps * kTile;
  const int first_col = warp() / kParts * kTile;
  const int first_value = warp() * Dims::kValueTiles * kTile;
  sync_block();  // the queries are stored
  Fragment<Bf16> queries[kRowTiles][Dims::kKeySteps];
  SS_UNROLL
  for (int i = 0; i < kRowTiles; ++i) {
    SS_UNROLL
    for (int k = 0; k < Dims::kKeySteps; ++k) {
      queries[i][k] = load_a(shared.keys[kStages - 1] + i * kTile * kStride + first_dim + k * kTile, kStride);
    }
  }
  Accumulator<Bf16> sums[kRowTiles][Dims::kValueTiles] = {};
  int stage = 0;
  for (int first = begin; first < end; first += kKvTile) {
    if constexpr (!kHasAsyncCopies) {
      copier.find(first);
      sync_block();  // all reads of the last tile, or of the queries, are done
      copier.copy(shared.keys[0]);
    }
    wait_for_copies<0>();
    sync_block();  // the keys have arrived, and all reads of the other stage are done
    const Bf16* const keys = shared.keys[stage];
    stage = kStages - 1 - stage;
    if constexpr (kHasAsyncCopies) {
      if (first + kKvTile < end) copier.copy(shared.keys[stage]);
      copier.find(first + 2 * kKvTile);
    }
    Accumulator<Bf16> scores[kRowTiles] = {};
    SS_UNROLL
    for (int k = 0; k < Dims::kKeySteps; ++k) {
      const Fragment<Bf16> key = load_b(keys + first_col * kStride + first_dim + k * kTile, kStride);
      SS_UNROLL
      for (int i = 0; i < kRowTiles; ++i) multiply(scores[i], queries[i][k], key);
    }
    SS_UNROLL
    for (int i = 0; i < kRowTiles; ++i) {
      SS_UNROLL
      for (int v = 0; v < kAccumulators; v += kNeighbours) {
        const int row = i * kTile + accumulator_row(v);
        float* const to = shared.scores[part] + row * kScoreStride + first_col + accumulator_col(v);
        if constexpr (kNeighbours == 2) {
          store_pair(to, scores[i].value[v], scores[i].value[v + 1]);
        } else {
          *to = scores[i].value[v];
        }
      }
    }
    sync_block();  // all parts of the scores are stored
    softmax.add_tile(a, shared, first, seen_begin, seen_end);
    sync_block();  // the weights are stored
    SS_UNROLL
    for (int i = 0; i < kRowTiles; ++i) {
      SS_UNROLL
      for (int v = 0; v < kAccumulators; ++v) {
        const float rescale = shared.rescale[i * kTile + accumulator_row(v)];
        SS_UNROLL
        for (int j = 0; j < Dims::kValueTiles; ++j) sums[i][j].value[v] *= rescale;
      }
    }
    SS_UNROLL
    for (int k = 0; k < kKvTile; k += kTile) {
      Fragment<Bf16> weights[kRowTiles];
      SS_UNROLL
      for (int i = 0; i < kRowTiles; ++i)
        weights[i] = load_a(shared.weights + i * kTile * kWeightStride + k, kWeightStride);
      SS_UNROLL
      for (int j = 0; j < Dims::kValueTiles; ++j) {
        const Fragment<Bf16> values = load_b_transposed(keys + k * kStride + first_value + j * kTile, kStride);
        SS_UNROLL
        for (int i = 0; i < kRowTiles; ++i) multiply(sums[i][j], weights[i], values);
      }
    }
  }

  sync_block();  // all reads of the last factors are done
  const bool is_whole = partial_row == kNoPartialRow;
  if (is_row && lane() % RowSoftmax<Block>::kLanes == 0) {
    const int row = rows.first + without_history(own_row);
    const int head = row - divide(row, arguments.by_heads) * a.n_heads;
    shared.rescale[own_row] = is_whole ? softmax.sum() + weight_of_sink_in_base_2(a, head, softmax.row_max()) : 1.0F;
    if (!is_whole) {
      float* const to = a.partial_softmax + (std::int64_t{partial_row} + own_row) * 2;
      store_pair(to, softmax.row_max(), softmax.sum());
    }
  }
  sync_block();  // the divisors are stored
  float* const to =
      is_whole ? a.out + std::int64_t{rows.first} * a.value_dim : a.partial + std::int64_t{partial_row} * a.value_dim;
  SS_UNROLL
  for (int i = 0; i < kRowTiles; ++i) {
    SS_UNROLL
    for (int v = 0; v < kAccumulators; v += kNeighbours) {
      const int row = i * kTile + accumulator_row(v);
      if (row >= rows.n_rows) continue;
      const float divisor = shared.rescale[row];
      SS_UNROLL
      for (int j = 0; j < Dims::kValueTiles; ++j) {
        const int dim = first_value + j * kTile + accumulator_col(v);
        if (dim >= a.value_dim) continue;
        float* const out = to + std::int64_t{row} * a.value_dim + dim;
        if constexpr (kNeighbours == 2) {
          store_pair(out, sums[i][j].value[v] / divisor, sums[i][j].value[v + 1] / divisor);
        } else {
          *out = sums[i][j].value[v] / divisor;
        }
      }
    }
  }
}

/// Blocks (query tile, rows of it): sequences with several new tokens, and padding.
template <typename Dims>
SS_KERNEL(kWarps* kWarpSize)
latent_prefill_kernel(LatentAttentionArguments arguments) {
  wait_for_earlier_kernels();
  using Block = Shared<Dims, kRowTilesOf<false, kWarpSize>>;
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
    for (int i = thread_x(); i < rows.n_rows * a.value_dim; i += kWarps * kWarpSize) out[i] = 0.0F;
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
  wait_for_earlier_kernels();
  using Block = Shared<Dims, kRowTilesOf<kFewRows, kWarpSize>>;
  constexpr int kRows = Block::kRows;
  const AttentionArguments& a = arguments.attention;
  const DecodeSplit split = a.batch.decode_splits[block_y()];
  if (split.seq < 0) return;
  const Span span = span_of(split, a.window, kKvTile);
  if (span.begin >= span.end) return;
  const int first_head = block_x() * kRows;
  const int n_left = a.n_heads - first_head;
  const QueryRows rows{split.token * a.n_heads + first_head, n_left < kRows ? n_left : kRows};
  const int partial_row = split.n_splits > 1 ? block_y() * a.n_heads + first_head : kNoPartialRow;
  attend<Dims, Block>(arguments, rows, split.seq, span.begin, span.end, partial_row);
}

constexpr int kCombineWarps = 4;

struct CombineShared {
  float weights[kCombineWarps][kMaxDecodeSplits];
};

/// Blocks (heads, share, dimensions): the blocks of a sequence's first share add up all of its shares, one warp for some dimensions
/// of a head, four for each lane.
SS_KERNEL(kCombineWarps* kWarpSize) combine_latents_kernel(LatentAttentionArguments arguments) {
  wait_for_earlier_kernels();
  const AttentionArguments& a = arguments.attention;
  const DecodeSplit split = a.batch.decode_splits[block_y()];
  if (split.seq < 0 || split.index > 0 || split.n_splits == 1) return;
  auto& shared = shared_memory<CombineShared>();
  const int head = block_x() * kCombineWarps + warp();
  if (head >= a.n_heads) return;
  constexpr int kDims = 4 * kWarpSize;
  const int begin = block_z() * kDims;
  const int end = begin + kDims < a.value_dim ? begin + kDims : a.value_dim;
  combine_splits(a, split, span_of(split, a.window, kKvTile), block_y(), head, {begin, end}, shared.weights[warp()]);
}

template <typename Dims, int kLanes>
Result<void> launch_prefill(const LaunchContext& context, const LatentAttentionArguments& arguments) {
  using Block = Shared<Dims, kRowTilesOf<false, kLanes>>;
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
  using Block = Shared<Dims, kRowTilesOf<kFewRows, kLanes>>;
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
  return launch(context.stream, "combine_latents", combine_latents_kernel,
                {.grid = {static_cast<std::uint32_t>(ceil_divide(a.n_heads, kCombineWarps)),
                          static_cast<std::uint32_t>(a.max_decode_splits),
                          static_cast<std::uint32_t>(ceil_divide(a.value_dim, 4 * context.warp_size))},
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
