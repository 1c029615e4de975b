// Prefill attention on the matrix cores (mma, MFMA, WMMA), after FlashAttention-2.
//
//   out[t, h] = sum_j p[j] v[j],   p = softmax_j(softcap(scale * q[t, h] . k[j])),   j <= position of t,
//   and j > position - window when window > 0; with sinks, exp(sinks[h]) joins the sum of the softmax
//
// Shapes       q, out: [T, n_heads, head_dim]; KV cache: [n_pages, n_kv_heads, page_tokens, head_dim] per layer
// Dtypes       q, out: f32; KV cache: BF16; q and p are rounded to BF16 for the products
// Accumulator  f32: scores, running maximum, running sum, output
// Aliasing     out may be q: a block reads its own queries before it writes its own rows
// Alignment    cache rows to 16 bytes, as head_dim is a multiple of 8
// Source       FlashAttention-2, arXiv:2307.08691, algorithm 1; online softmax: arXiv:1805.02867
//
// A block takes one head of up to 64 tokens (32 where head_dim > 128), 16 tokens per warp, and goes through the cache in tiles of 32
// positions. The keys of the next tile are copied while P V is computed, and the values of this one while Q K^T is computed.

#include "core/checked.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/softmax_state.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/portable/shared_copy.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kKvTile = 32;  ///< positions of one KV tile
constexpr int kScoreStride = kKvTile + 4;
constexpr int kWeightStride = kKvTile + 8;

/// 16-token tiles of a block. Chosen so that 64 KiB of shared memory suffice for every head_dim.
template <int kHeadDim>
inline constexpr int kTokenTiles = kHeadDim > 128 ? 2 : 4;

/// Warps that split the output dimensions of one 16-token tile. The accumulators of 256 dimensions take half of the
/// registers that a lane of gfx11 has, and the compiler spilled: there two warps compute the same scores and half of the
/// output each. Selected by the lanes of a warp, since the target is unknown in HIP's host pass.
template <int kHeadDim, int kLanes>
#if defined(SS_GPU_TILE_MMA)
inline constexpr int kDimParts = 1;
#else
inline constexpr int kDimParts = kHeadDim > 128 && kLanes == 32 ? 2 : 1;
#endif

template <int kHeadDim, int kLanes>
struct Shared {
  static constexpr int kWarps = kTokenTiles<kHeadDim> * kDimParts<kHeadDim, kLanes>;
  static constexpr int kStride = kHeadDim + 8;
  Bf16 queries[kTokenTiles<kHeadDim> * kTile * kStride];
  Bf16 keys[kKvTile * kStride];
  Bf16 values[kKvTile * kStride];
  struct {
    float scores[kTile * kScoreStride];
    Bf16 weights[kTile * kWeightStride];
    float rescale[kTile];  ///< factor for the older outputs; after the last KV tile the divisor, the softmax's sum
  } warp[kWarps];
};

/// Starts the copy of the cache rows of positions [first, first + kKvTile) of one head; zeros outside of [begin, end).
template <int kHeadDim>
SS_DEVICE void stage_cache(const AttentionArguments& a, const Bf16* cache, const std::int32_t* pages, int kv_head,
                           int first, int begin, int end, Bf16* to) {
  constexpr int kVecs = kHeadDim / 8;  // 16 bytes each
  for (int vec = thread_x(); vec < kKvTile * kVecs; vec += n_threads()) {
    const int position = first + vec / kVecs;
    const int dim = vec % kVecs * 8;
    const bool in_range = position >= begin && position < end && dim < a.kv.head_dim;
    const Bf16* from = cache;
    if (in_range) {
      const std::int64_t page = pages[position / a.kv.page_tokens];
      const std::int64_t row = (page * a.kv.n_kv_heads + kv_head) * a.kv.page_tokens + position % a.kv.page_tokens;
      from += row * a.kv.head_dim + dim;
    }
    copy_to_shared(to + vec / kVecs * Shared<kHeadDim, kWarpSize>::kStride + dim, from, in_range);
  }
  commit_copies();
}

template <int kHeadDim>
SS_DEVICE void stage_queries(const AttentionArguments& a, const QueryTile& tile, int head, Bf16* to) {
  for (int i = thread_x(); i < kTokenTiles<kHeadDim> * kTile * kHeadDim; i += n_threads()) {
    const int row = i / kHeadDim;
    const int dim = i % kHeadDim;
    float value = 0.0F;
    if (row < tile.n_tokens && dim < a.kv.head_dim) {
      value = a.q[(std::int64_t{tile.first_token + row} * a.n_heads + head) * a.kv.head_dim + dim];
    }
    to[row * Shared<kHeadDim, kWarpSize>::kStride + dim] = narrow(value);
  }
}

/// Lanes that share a row in the softmax, each with the same share of the columns.
inline constexpr int kRowLanes = kWarpSize / kTile;

/// Online softmax over one KV tile: writes exp(score - row_max) to `weights` as BF16 and the factor for the older outputs
/// to `rescale`.
template <typename Warp>
SS_DEVICE void update_softmax(const AttentionArguments& a, Warp& shared, int first, int position, bool is_row,
                              SoftmaxState& state) {
  const int row = lane() / kRowLanes;
  const int part = lane() % kRowLanes;
  float row_max = state.m;
  for (int col = part; col < kKvTile; col += kRowLanes) {
    float& score = shared.scores[row * kScoreStride + col];
    const int at = first + col;
    const bool seen = is_row && at <= position && (a.window <= 0 || at > position - a.window);
    score = seen ? soft_cap(a.scale * score, a.softcap) : kNegInf;
    row_max = larger(score, row_max);
  }
  row_max = max_lanes(row_max, kRowLanes);
  const float shift = SoftmaxState::shift(row_max);
  float sum = 0.0F;
  for (int col = part; col < kKvTile; col += kRowLanes) {
    const float weight = expf(shared.scores[row * kScoreStride + col] - shift);
    sum += weight;
    shared.weights[row * kWeightStride + col] = narrow(weight);
  }
  const float rescale = state.rescale_to(row_max);
  state.merge(row_max, rescale, [&] { return sum_lanes(sum, kRowLanes); });
  if (part == 0) shared.rescale[row] = rescale;
}

template <int kHeadDim>
SS_KERNEL(kMaxThreads)
prefill_attention_kernel(AttentionArguments a) {
  wait_for_earlier_kernels();
  using Block = Shared<kHeadDim, kWarpSize>;
  constexpr int kParts = kDimParts<kHeadDim, kWarpSize>;
  constexpr int kDimTiles = kHeadDim / kTile / kParts;
  constexpr int kTokens = kTokenTiles<kHeadDim> * kTile;
  const int part = block_z();  // of the query tile, if that has more tokens than a block takes
  if (block_x() >= *a.batch.n_query_tiles) return;
  QueryTile tile = a.batch.query_tiles[block_x()];
  tile.first_token += part * kTokens;
  tile.n_tokens -= part * kTokens;
  if (tile.n_tokens <= 0) return;
  if (tile.n_tokens > kTokens) tile.n_tokens = kTokens;
  const int head = block_y();
  float* const out = a.out + (std::int64_t{tile.first_token} * a.n_heads + head) * a.kv.head_dim;
  if (tile.seq < 0) {  // padding tokens get zeros, which stay finite in later layers
    for (int i = thread_x(); i < tile.n_tokens * a.kv.head_dim; i += n_threads()) {
      out[std::int64_t{i / a.kv.head_dim} * a.n_heads * a.kv.head_dim + i % a.kv.head_dim] = 0.0F;
    }
    return;
  }
  auto& shared = shared_memory<Block>();
  auto& own = shared.warp[warp()];
  const int kv_head = head / (a.n_heads / a.kv.n_kv_heads);
  const std::int32_t* const pages = a.batch.block_table + std::int64_t{tile.seq} * a.batch.max_pages_per_seq;
  const int first_position = a.batch.positions[tile.first_token];
  const int end = a.batch.positions[tile.first_token + tile.n_tokens - 1] + 1;
  const int begin = a.window > 0 && first_position >= a.window ? first_position - a.window + 1 : 0;
  const int first_row = warp() / kParts * kTile;  // within the query tile
  const int first_dim = warp() % kParts * kDimTiles * kTile;
  const int row = first_row + lane() / kRowLanes;  // for the softmax
  const bool is_row = row < tile.n_tokens;
  const int position = is_row ? a.batch.positions[tile.first_token + row] : 0;
  SoftmaxState state;
  Accumulator<Bf16> sums[kDimTiles] = {};

  const auto stage = [&](const Bf16* cache, int first, Bf16* to) {
    stage_cache<kHeadDim>(a, cache, pages, kv_head, first, begin, end, to);
  };
  int first = begin / kKvTile * kKvTile;
  stage(a.kv.keys, first, shared.keys);
  stage_queries<kHeadDim>(a, tile, head, shared.queries);
  for (; first < end; first += kKvTile) {
    stage(a.kv.values, first, shared.values);
    wait_for_copies<1>();
    sync_block();  // the keys have arrived, and the queries
    Accumulator<Bf16> scores[kKvTile / kTile] = {};
    for (int d = 0; d < kHeadDim; d += kTile) {
      const Fragment<Bf16> q = load_a(shared.queries + first_row * Block::kStride + d, Block::kStride);
      SS_UNROLL
      for (int j = 0; j < kKvTile / kTile; ++j) {
        multiply(scores[j], q, load_b(shared.keys + j * kTile * Block::kStride + d, Block::kStride));
      }
    }
    SS_UNROLL
    for (int j = 0; j < kKvTile / kTile; ++j) {
      SS_UNROLL
      for (int v = 0; v < kAccumulators; ++v) {
        own.scores[accumulator_row(v) * kScoreStride + j * kTile + accumulator_col(v)] = scores[j].value[v];
      }
    }
    sync_warp();
    update_softmax(a, own, first, position, is_row, state);
    sync_warp();
    SS_UNROLL
    for (int j = 0; j < kDimTiles; ++j) {
      SS_UNROLL
      for (int v = 0; v < kAccumulators; ++v) sums[j].value[v] *= own.rescale[accumulator_row(v)];
    }
    wait_for_copies<0>();
    sync_block();  // the values have arrived, and all reads of the keys are done
    if (first + kKvTile < end) stage(a.kv.keys, first + kKvTile, shared.keys);
    for (int k = 0; k < kKvTile; k += kTile) {
      const Fragment<Bf16> weights = load_a(own.weights + k, kWeightStride);
      SS_UNROLL
      for (int j = 0; j < kDimTiles; ++j) {
        multiply(sums[j], weights,
                 load_b_transposed(shared.values + k * Block::kStride + first_dim + j * kTile, Block::kStride));
      }
    }
    sync_block();  // all reads of the values are done
  }
  if (lane() % kRowLanes == 0) own.rescale[lane() / kRowLanes] = state.d + weight_of_sink(a.sinks, head, state.m);
  sync_warp();
  SS_UNROLL
  for (int j = 0; j < kDimTiles; ++j) {
    SS_UNROLL
    for (int v = 0; v < kAccumulators; ++v) {
      const int out_row = first_row + accumulator_row(v);
      const int dim = first_dim + j * kTile + accumulator_col(v);
      if (out_row >= tile.n_tokens || dim >= a.kv.head_dim) continue;
      out[std::int64_t{out_row} * a.n_heads * a.kv.head_dim + dim] = sums[j].value[v] / own.rescale[accumulator_row(v)];
    }
  }
}

template <int kHeadDim, int kLanes>
Result<void> launch_with(const LaunchContext& context, const AttentionArguments& arguments) {
  using Block = Shared<kHeadDim, kLanes>;
  static_assert(sizeof(Block) <= 64 << 10);
  return launch(
      context.stream, "prefill_attention", prefill_attention_kernel<kHeadDim>,
      {.grid = {static_cast<std::uint32_t>(arguments.max_query_tiles), static_cast<std::uint32_t>(arguments.n_heads),
                static_cast<std::uint32_t>(kQueryTileTokens / (kTokenTiles<kHeadDim> * kTile))},
       .threads = static_cast<std::uint32_t>(Block::kWarps * kLanes),
       .shared_bytes = sizeof(Block)},
      arguments);
}

template <int kHeadDim>
Result<void> launch_for(const LaunchContext& context, const AttentionArguments& arguments) {
  return context.warp_size == 32 ? launch_with<kHeadDim, 32>(context, arguments)
                                 : launch_with<kHeadDim, 64>(context, arguments);
}

}  // namespace

Result<void> launch_prefill_attention(const LaunchContext& context, const AttentionArguments& arguments) {
  if (arguments.kv.head_dim <= 32) return launch_for<32>(context, arguments);
  if (arguments.kv.head_dim <= 64) return launch_for<64>(context, arguments);
  if (arguments.kv.head_dim <= 96) return launch_for<96>(context, arguments);
  if (arguments.kv.head_dim <= 128) return launch_for<128>(context, arguments);
  return launch_for<256>(context, arguments);
}

Result<void> launch_attention(const LaunchContext& context, const AttentionArguments& arguments) {
  if (arguments.kv.values == nullptr) return launch_latent_attention(context, arguments);
  if (arguments.max_query_tiles > 0) {
    SS_TRY_VOID(arguments.prefill == PrefillBy::kWarpgroups ? launch_warpgroup_attention(context, arguments)
                                                            : launch_prefill_attention(context, arguments));
  }
  if (arguments.max_decode_splits > 0) SS_TRY_VOID(launch_decode_attention(context, arguments));
  return {};
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
