// The work is cut into (sequence, KV head, block of query rows), and also along the cache where that is too little for all
// threads, as in decoding one long sequence. The query heads that share a KV head are rows of one block, so that each key
// and value is read once for all of them.

#include "cpu/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "core/check.h"
#include "core/checked.h"

namespace secondsource::cpu {
namespace {

constexpr std::int64_t kItemsPerThread = 4;
// Merging a part shorter than this costs more than the part gains.
constexpr std::int64_t kMinPartTokens = 256;

/// Floats of one row's SoftmaxState in the scratch memory of parts: m, d, o.
std::int64_t state_floats(int n_dim_tiles) {
  return 2 + std::int64_t{n_dim_tiles} * kTileRows;
}

/// The state of one row that begins at `floats`.
SoftmaxState state_at(float* floats) {
  return {.m = floats, .d = floats + 1, .o = floats + 2};
}

/// What the sink of a head adds to the sum d of a state whose maximum is m; 0 without a sink (null). If a sink is so far above all scores
/// that this is infinite, outputs become 0, to which they would round anyway.
float weight_of_sink(const float* sink, float m) {
  return sink == nullptr ? 0.0F : std::exp2(*sink * std::numbers::log2e_v<float> - m);
}

/// Merges the states of one row over disjoint parts of its keys and finishes the row:
///
///   m = max_i m_i      d = sink + sum_i d_i * 2^(m_i - m)      out = sum_i (2^(m_i - m) / d) * o_i
///
/// State i is at parts + i * stride. All sums are f32, in the order of the parts. out: [value_dim()].
void merge_softmax(float* parts, std::int64_t stride, std::int32_t n_parts, const float* sink, std::span<float> out) {
  float m = *state_at(parts).m;
  for (std::int32_t i = 1; i < n_parts; ++i) m = std::max(m, *state_at(parts + i * stride).m);
  float d = weight_of_sink(sink, m);
  for (std::int32_t i = 0; i < n_parts; ++i) {
    const SoftmaxState part = state_at(parts + i * stride);
    d += *part.d * std::exp2(*part.m - m);
  }
  std::ranges::fill(out, 0.0F);
  for (std::int32_t i = 0; i < n_parts; ++i) {
    const SoftmaxState part = state_at(parts + i * stride);
    const float factor = std::exp2(*part.m - m) / d;
    for (std::size_t j = 0; j < out.size(); ++j) out[j] += factor * part.o[j];
  }
}

/// The kernel that takes any number of query rows.
const AttendKernel& kernel_for(const KernelTable& table, DType kv_dtype) {
  switch (kv_dtype) {
    case DType::kF32:
      return table.attend_f32;
    case DType::kF16:
      return table.attend_f16;
    case DType::kI8:
      return table.attend_int8;
    default:
      return table.attend_bf16;
  }
}

/// The kernel for at least AttendKernel::from_rows query rows; where there is none, the one for any number.
const AttendKernel& kernel_for_many_rows(const KernelTable& table, DType kv_dtype) {
  if (kv_dtype == DType::kBf16 && table.attend_many_bf16.attend != nullptr) return table.attend_many_bf16;
  if (kv_dtype == DType::kI8 && table.attend_many_int8.attend != nullptr) return table.attend_many_int8;
  return kernel_for(table, kv_dtype);
}

/// Floats of memory for one row of packed queries: enough for f32, and for BF16 padded to the vec of `many_rows`.
std::size_t packed_row_floats(const KvPool& cache, const AttendKernel& many_rows) {
  return static_cast<std::size_t>(round_up<std::int64_t>(cache.padded_head_dim(), many_rows.vec));
}

/// Bytes of Buffers::operands.
std::size_t operand_bytes(const KvPool& cache, const AttendKernel& many_rows) {
  if (many_rows.operand_bytes == nullptr) return 0;
  return static_cast<std::size_t>(many_rows.operand_bytes(cache.padded_head_dim(), cache.n_dim_tiles()));
}

/// Bytes of Buffers::values.
std::size_t value_bytes(const KvPool& cache) {
  return static_cast<std::size_t>(cache.v_block_bytes()) * (cache.has_latents() ? kBlockTiles : 1);
}

/// The tiles of a sequence's cache one after the other, for one layer and KV head.
class TileWalk {
 public:
  /// block_table: the sequence's pages. first_token: a multiple of 16.
  TileWalk(const KvPool& cache, std::int32_t layer, std::int32_t kv_head, const std::int32_t* block_table,
           std::int64_t first_token)
      : cache_(cache),
        layer_(layer),
        kv_head_(kv_head),
        tiles_per_page_(cache.spec().page_tokens / kTileRows),
        page_(block_table + first_token / cache.spec().page_tokens),
        tile_(first_token % cache.spec().page_tokens / kTileRows) {
    if (tile_ > 0) blocks_ = cache_.blocks_of(layer_, *page_, kv_head_);
  }

  KvPool::Tile next() {
    if (tile_ == 0) blocks_ = cache_.blocks_of(layer_, *page_, kv_head_);
    const KvPool::Tile tile = cache_.tile_of(blocks_, tile_);
    if (++tile_ == tiles_per_page_) {
      tile_ = 0;
      ++page_;
    }
    return tile;
  }

 private:
  const KvPool& cache_;
  std::int32_t layer_;
  std::int32_t kv_head_;
  std::int64_t tiles_per_page_;
  const std::int32_t* page_;
  std::int64_t tile_;  ///< the tile of the page that next() returns
  KvPool::PageBlocks blocks_;
};

}  // namespace

std::string AttentionRunner::kernel_name(DType kv_dtype) const {
  return fmt::format("{}_{}", kernel_for(table_, kv_dtype).name, table_.isa);
}

AttentionRunner::Buffers AttentionRunner::cut(std::span<std::byte> scratch, const KvPool& cache,
                                              const AttendKernel& many_rows) {
  const auto head_dim = static_cast<std::size_t>(cache.padded_head_dim());
  const auto n_dim_tiles = static_cast<std::size_t>(cache.n_dim_tiles());
  ScratchCutter cutter(scratch);
  Buffers buffers;
  buffers.query = cutter.take<float>(kMaxQueryRows * head_dim);
  buffers.packed = cutter.take<float>(kMaxQueryRows * packed_row_floats(cache, many_rows));
  buffers.query_scales = cutter.take<float>(kMaxQueryRows);
  buffers.scores = cutter.take<float>(kMaxQueryRows * kBlockTokens);
  buffers.weights = cutter.take<float>(kMaxQueryRows * kBlockTokens);
  buffers.state.o = cutter.take<float>(kMaxQueryRows * n_dim_tiles * kTileRows).data();
  buffers.state.m = cutter.take<float>(kMaxQueryRows).data();
  buffers.state.d = cutter.take<float>(kMaxQueryRows).data();
  buffers.first_visible = cutter.take<std::int64_t>(kMaxQueryRows);
  buffers.last_visible = cutter.take<std::int64_t>(kMaxQueryRows);
  buffers.values = cutter.take<std::byte>(value_bytes(cache));
  buffers.operands = cutter.take<std::byte>(operand_bytes(cache, many_rows));
  return buffers;
}

std::size_t AttentionRunner::buffer_bytes(const KvPool& cache, const AttendKernel& many_rows) {
  using Cutter = ScratchCutter;
  const auto head_dim = static_cast<std::size_t>(cache.padded_head_dim());
  const auto n_dim_tiles = static_cast<std::size_t>(cache.n_dim_tiles());
  return Cutter::bytes_for<float>(kMaxQueryRows * head_dim) +
         Cutter::bytes_for<float>(kMaxQueryRows * packed_row_floats(cache, many_rows)) +
         2 * Cutter::bytes_for<float>(kMaxQueryRows * kBlockTokens) +
         Cutter::bytes_for<float>(kMaxQueryRows * n_dim_tiles * kTileRows) +
         3 * Cutter::bytes_for<float>(kMaxQueryRows) + 2 * Cutter::bytes_for<std::int64_t>(kMaxQueryRows) +
         Cutter::bytes_for<std::byte>(value_bytes(cache)) +
         Cutter::bytes_for<std::byte>(operand_bytes(cache, many_rows));
}

ScratchNeed AttentionRunner::scratch_need(const Attention& op, const Bucket& bucket, const KvPool& cache) const {
  const std::int64_t heads_per_kv = op.heads.n_heads / op.heads.n_kv_heads;
  const std::int64_t item_rows = std::min<std::int64_t>(kMaxQueryRows, bucket.max_tokens * heads_per_kv);
  // Items are split only if there are fewer than kItemsPerThread for each thread, and then into fewer than twice that many parts.
  const std::int64_t partial_rows = 2 * kItemsPerThread * pool_.n_threads() * item_rows;
  const std::int64_t n_floats = partial_rows * state_floats(cache.n_dim_tiles());
  return {.partials = static_cast<std::size_t>(n_floats) * sizeof(float),
          .per_thread = buffer_bytes(cache, kernel_for_many_rows(table_, cache.spec().dtype))};
}

Result<void> AttentionRunner::check_pages(const Attention& op, const Batch& batch, const KvPool& cache) {
  const std::int64_t page_tokens = cache.spec().page_tokens;
  for (std::int32_t seq = 0; seq < batch.n_seqs(); ++seq) {
    const auto s = static_cast<std::size_t>(seq);
    std::int64_t first = INT64_MAX;
    std::int64_t last = -1;
    for (std::int32_t t = batch.q_starts[s]; t < batch.q_starts[s + 1]; ++t) {
      const std::int64_t position = batch.positions[static_cast<std::size_t>(t)];
      if (position < 0 || position / page_tokens >= batch.max_pages_per_seq) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("token {}: position {} is not in the block table", t, position)};
      }
      first = std::min(first, op.window > 0 ? std::max<std::int64_t>(0, position - op.window + 1) : 0);
      last = std::max(last, position);
    }
    for (std::int64_t page = first / page_tokens; last >= 0 && page <= last / page_tokens; ++page) {
      const std::int32_t id =
          batch.block_table[s * static_cast<std::size_t>(batch.max_pages_per_seq) + static_cast<std::size_t>(page)];
      if (id >= 0 && id < cache.n_pages()) continue;
      return Error{ErrorCode::kInvalidInput, fmt::format("sequence {}: page {}: expected an id in [0, {}), found {}",
                                                         seq, page, cache.n_pages(), id)};
    }
  }
  return {};
}

void AttentionRunner::make_plan(const Attention& op, const Batch& batch, Plan& plan) const {
  const std::int32_t heads_per_kv = op.heads.n_heads / op.heads.n_kv_heads;
  plan.items.clear();
  plan.merges.clear();
  std::int64_t n_blocks = 0;
  for (std::size_t s = 0; s < batch.kv_lengths.size(); ++s) {
    n_blocks += ceil_divide((batch.q_starts[s + 1] - batch.q_starts[s]) * heads_per_kv, kMaxQueryRows);
  }
  const std::int64_t n_wanted = kItemsPerThread * pool_.n_threads();
  const std::int64_t n_items = n_blocks * op.heads.n_kv_heads;
  const std::int64_t parts_wanted = n_items == 0 || n_items >= n_wanted ? 1 : ceil_divide(n_wanted, n_items);
  std::int64_t partial = 0;
  for (std::int32_t seq = 0; seq < batch.n_seqs(); ++seq) {
    const std::int32_t begin = batch.q_starts[static_cast<std::size_t>(seq)];
    const std::int64_t n_rows = std::int64_t{batch.q_starts[static_cast<std::size_t>(seq) + 1] - begin} * heads_per_kv;
    // Later rows see more tokens. They go first, so that the chunks that finish last are short.
    for (std::int64_t block = ceil_divide<std::int64_t>(n_rows, kMaxQueryRows) - 1; block >= 0; --block) {
      Item item{.seq = seq, .first_row = block * kMaxQueryRows};
      item.n_rows = static_cast<std::int32_t>(std::min<std::int64_t>(kMaxQueryRows, n_rows - item.first_row));
      std::int64_t first = INT64_MAX;
      for (std::int64_t t = item.first_row / heads_per_kv; t <= (item.first_row + item.n_rows - 1) / heads_per_kv;
           ++t) {
        const std::int64_t position = batch.positions[static_cast<std::size_t>(begin + t)];
        first = std::min(first, op.window > 0 ? std::max<std::int64_t>(0, position - op.window + 1) : 0);
        item.end_token = std::max(item.end_token, position + 1);
      }
      first = first / kTileRows * kTileRows;
      const std::int64_t length = item.end_token - first;
      const std::int64_t n_parts =
          std::clamp<std::int64_t>(std::min(parts_wanted, length / kMinPartTokens), 1, n_wanted);
      const std::int64_t part_tokens = round_up<std::int64_t>(ceil_divide(length, n_parts), kBlockTokens);
      const auto n_used = static_cast<std::int32_t>(ceil_divide(length, part_tokens));
      const std::int64_t end = item.end_token;
      for (item.kv_head = 0; item.kv_head < op.heads.n_kv_heads; ++item.kv_head) {
        if (n_used > 1) plan.merges.push_back({seq, item.kv_head, item.first_row, item.n_rows, partial, n_used});
        for (std::int32_t part = 0; part < n_used; ++part) {
          item.first_token = first + part * part_tokens;
          item.end_token = std::min(end, item.first_token + part_tokens);
          item.partial = n_used > 1 ? partial : -1;
          if (n_used > 1) partial += item.n_rows;
          plan.items.push_back(item);
        }
      }
    }
  }
}

AttentionRunner::RowPlace AttentionRunner::place_of(const Call& call, const Item& item, std::int64_t row) {
  const auto heads_per_kv = static_cast<std::uint32_t>(call.heads_per_kv);
  const std::int64_t begin = call.batch.q_starts[static_cast<std::size_t>(item.seq)];
  const auto at = static_cast<std::uint32_t>(item.first_row + row);
  return {begin + at / heads_per_kv, std::int64_t{item.kv_head} * heads_per_kv + at % heads_per_kv};
}

void AttentionRunner::pack_query(const Call& call, const Item& item, const Buffers& buffers) const {
  const AttendKernel& kernel = call.kernel_of(item);
  const std::int64_t head_dim = call.op.heads.head_dim;
  const std::int64_t padded_dim = round_up<std::int64_t>(call.cache.padded_head_dim(), kernel.vec);
  const int n_rows = round_up(item.n_rows, kernel.row_multiple);
  for (std::int32_t row = 0; row < item.n_rows; ++row) {
    const RowPlace place = place_of(call, item, row);
    std::memcpy(buffers.query.data() + row * head_dim, call.q.row(place.token).data() + place.head * head_dim,
                static_cast<std::size_t>(head_dim) * sizeof(float));
    const std::int64_t position = call.batch.positions[static_cast<std::size_t>(place.token)];
    buffers.last_visible[static_cast<std::size_t>(row)] = position;
    buffers.first_visible[static_cast<std::size_t>(row)] = call.op.window > 0 ? position - call.op.window + 1 : 0;
  }
  std::fill_n(buffers.query.data() + item.n_rows * head_dim, (n_rows - item.n_rows) * head_dim, 0.0F);
  for (int block = 0; block < ceil_divide(n_rows, kernel.max_rows); ++block) {
    const int first = row_block_begin(n_rows, kernel.max_rows, block);
    table_.pack(
        {.x = buffers.query.data() + first * head_dim,
         .x_stride = head_dim,
         .n_rows = row_block_begin(n_rows, kernel.max_rows, block + 1) - first,
         .k = head_dim,
         .k_padded = padded_dim,
         .vec = kernel.vec,
         .act = kernel.act,
         .out = reinterpret_cast<std::byte*>(buffers.packed.data()) + first * padded_dim * act_bytes(kernel.act),
         .row_scales = buffers.query_scales.data() + first});
  }
}

void AttentionRunner::attend_blocks(const Call& call, const Item& item, const Buffers& buffers) {
  const Attention& op = call.op;
  const Batch& batch = call.batch;
  const KvPool& cache = call.cache;
  const AttendKernel& kernel = call.kernel_of(item);
  const std::byte* k_tiles[kBlockTiles];
  const std::byte* v_tiles[kBlockTiles];
  const float* k_scales[kBlockTiles];
  const float* v_scales[kBlockTiles];
  const std::byte* v_slices[kBlockTiles];
  const std::byte* k_slices[kBlockTiles];
  AttendArgs args{.q = buffers.packed.data(),
                  .q_scales = buffers.query_scales.data(),
                  .n_rows = item.n_rows,
                  .head_dim = round_up<std::int64_t>(cache.padded_head_dim(), kernel.vec),
                  .k_dim = cache.padded_head_dim(),
                  .n_dim_tiles = cache.n_dim_tiles(),
                  .k_tiles = k_tiles,
                  .v_tiles = v_tiles,
                  .v_dim_stride = cache.v_dim_stride(),
                  .k_scales = cache.has_scales() ? k_scales : nullptr,
                  .v_scales = cache.has_scales() ? v_scales : nullptr,
                  .first_visible = buffers.first_visible.data(),
                  .last_visible = buffers.last_visible.data(),
                  .scale = op.scale,
                  .softcap = op.softcap,
                  .state = buffers.state,
                  .scores = buffers.scores.data(),
                  .weights = buffers.weights.data(),
                  .operands = buffers.operands.data()};
  const std::int64_t n_cached = batch.kv_lengths[static_cast<std::size_t>(item.seq)];
  const auto n_tiles_from = [&](std::int64_t token) {
    const std::int64_t n_left = ceil_divide<std::int64_t>(std::max<std::int64_t>(0, item.end_token - token), kTileRows);
    return static_cast<int>(std::min<std::int64_t>(kBlockTiles, n_left));
  };
  TileWalk walk(cache, op.layer, item.kv_head,
                batch.block_table.data() + std::int64_t{item.seq} * batch.max_pages_per_seq, item.first_token);
  KvPool::Tile tiles[kBlockTiles];
  KvPool::Tile next_tiles[kBlockTiles];
  int n_next = n_tiles_from(item.first_token);
  for (int i = 0; i < n_next; ++i) next_tiles[i] = walk.next();
  for (std::int64_t token = item.first_token; token < item.end_token; token += kBlockTokens) {
    args.first_token = token;
    args.n_tiles = n_next;
    std::copy_n(next_tiles, n_next, tiles);
    n_next = n_tiles_from(token + kBlockTokens);
    for (int i = 0; i < n_next; ++i) {
      next_tiles[i] = walk.next();
      k_slices[i] = next_tiles[i].k_slice;
    }
    args.v_prefetch = {v_slices, cache.has_latents() ? 0 : args.n_tiles, cache.v_slice_bytes()};
    args.k_prefetch = {k_slices, n_next, cache.k_slice_bytes()};
    for (int i = 0; i < args.n_tiles; ++i) {
      const KvPool::Tile& tile = tiles[i];
      const auto n_left = static_cast<int>(std::min<std::int64_t>(kTileRows, n_cached - token - i * kTileRows));
      k_tiles[i] = tile.keys;
      k_scales[i] = tile.k_scales;
      v_slices[i] = tile.v_slice;
      v_tiles[i] = tile.values;
      v_scales[i] = tile.v_scales;
      // Slots past the end hold leftovers of another sequence. If one is NaN, a weight of zero does not remove it.
      if (!cache.has_latents() && n_left == kTileRows) continue;
      const auto n = static_cast<std::size_t>(cache.v_block_bytes());
      const std::span<std::byte> own =
          buffers.values.subspan(cache.has_latents() ? static_cast<std::size_t>(i) * n : 0, n);
      if (cache.has_latents()) {
        cache.value_tile_of(tile.keys, n_left, own);
      } else {
        cache.copy_value_tile(tile.values, n_left, own);
      }
      v_tiles[i] = own.data();
      if (!cache.has_scales()) continue;
      v_scales[i] = cache.copy_value_scales(cache.has_latents() ? tile.k_scales : tile.v_scales, n_left, own);
    }
    kernel.attend(args);
  }
}

void AttentionRunner::attend(const Call& call, const Item& item, int thread) const {
  const KvPool& cache = call.cache;
  const std::int64_t o_stride = std::int64_t{cache.n_dim_tiles()} * kTileRows;
  const Buffers buffers = cut(scratch_.of_thread(thread), cache, call.many_rows);
  const SoftmaxState& state = buffers.state;
  pack_query(call, item, buffers);
  std::fill_n(state.m, item.n_rows, kInitialRowMax);
  std::fill_n(state.d, item.n_rows, 0.0F);
  std::fill_n(state.o, item.n_rows * o_stride, 0.0F);
  attend_blocks(call, item, buffers);

  const std::int64_t value_dim = call.op.heads.value_dim();
  for (std::int32_t row = 0; row < item.n_rows; ++row) {
    const float* const o = state.o + row * o_stride;
    if (item.partial >= 0) {
      const std::int64_t index = item.partial + row;
      const SoftmaxState part = state_at(scratch_.partials().data() + index * state_floats(cache.n_dim_tiles()));
      *part.m = state.m[row];
      *part.d = state.d[row];
      std::copy_n(o, o_stride, part.o);
      continue;
    }
    const RowPlace place = place_of(call, item, row);
    const float d = state.d[row] + weight_of_sink(call.sink_of(place.head), state.m[row]);
    table_.scale_into(o, 1.0F / d, value_dim, call.out.row(place.token).data() + place.head * value_dim);
  }
}

void AttentionRunner::merge_parts(const Call& call, const Merge& merge) const {
  const std::int64_t row_floats = state_floats(call.cache.n_dim_tiles());
  const std::int32_t value_dim = call.op.heads.value_dim();
  const std::int32_t begin = call.batch.q_starts[static_cast<std::size_t>(merge.seq)];
  for (std::int32_t row = 0; row < merge.n_rows; ++row) {
    const std::int64_t token = begin + (merge.first_row + row) / call.heads_per_kv;
    const std::int64_t head = merge.kv_head * call.heads_per_kv + (merge.first_row + row) % call.heads_per_kv;
    merge_softmax(
        scratch_.partials().data() + (merge.partial + row) * row_floats, merge.n_rows * row_floats, merge.n_parts,
        call.sink_of(head),
        call.out.row(token).subspan(static_cast<std::size_t>(head * value_dim), static_cast<std::size_t>(value_dim)));
  }
}

Result<void> AttentionRunner::run(const Attention& op, const HostFrame& frame, const KvPool& cache) {
  SS_TRY_VOID(check_pages(op, frame.batch, cache));
  make_plan(op, frame.batch, plan_);
  const Call call{.op = op,
                  .batch = frame.batch,
                  .cache = cache,
                  .few_rows = kernel_for(table_, cache.spec().dtype),
                  .many_rows = kernel_for_many_rows(table_, cache.spec().dtype),
                  .q = frame.value(op.q),
                  .out = frame.value(op.out),
                  .sinks = op.sinks ? weights_.at(*op.sinks).vector.data() : nullptr,
                  .heads_per_kv = op.heads.n_heads / op.heads.n_kv_heads};
  pool_.run(static_cast<std::int64_t>(plan_.items.size()), [&](std::int64_t chunk, int thread) {
    attend(call, plan_.items[static_cast<std::size_t>(chunk)], thread);
  });
  for (const Merge& merge : plan_.merges) merge_parts(call, merge);
  // Padding rows belong to no sequence; their outputs become zero, so that they are finite.
  const MatrixView<float>& out = call.out;
  for (std::int64_t t = frame.batch.q_starts.back(); t < out.rows(); ++t) std::ranges::fill(out.row(t), 0.0F);
  return {};
}

}  // namespace secondsource::cpu
