// Attention over the paged cache: cuts the work into (sequence, KV head, block of query rows), and along the cache
// where there are too few of those for all threads, as in decoding one long sequence. Query heads that share a KV head
// are rows of one block, so that each key and value is read once for all of them.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/checked.h"
#include "cpu/kernels.h"

namespace secondsource::cpu {
namespace {

constexpr std::int64_t kItemsPerThread = 4;
// A shorter part costs more in joining than it gains.
constexpr std::int64_t kMinPartTokens = 256;

/// A part's sums per row: maximum, sum, output.
std::int64_t partial_row_floats(int n_dim_tiles) {
  return 2 + std::int64_t{n_dim_tiles} * kTileRows;
}

AttentionBuffers cut(std::span<std::byte> scratch, std::size_t head_dim, std::size_t n_dim_tiles, std::size_t v_bytes) {
  ScratchCutter cutter(scratch);
  AttentionBuffers buffers;
  buffers.query = cutter.take<float>(kMaxQueryRows * head_dim);
  buffers.packed = cutter.take<float>(kMaxQueryRows * head_dim);
  buffers.scores = cutter.take<float>(kMaxQueryRows * kBlockTokens);
  buffers.weights = cutter.take<float>(kMaxQueryRows * kBlockTokens);
  buffers.o = cutter.take<float>(kMaxQueryRows * n_dim_tiles * kTileRows);
  buffers.m = cutter.take<float>(kMaxQueryRows);
  buffers.l = cutter.take<float>(kMaxQueryRows);
  buffers.first_seen = cutter.take<std::int64_t>(kMaxQueryRows);
  buffers.last_seen = cutter.take<std::int64_t>(kMaxQueryRows);
  buffers.last_values = cutter.take<std::byte>(v_bytes);
  return buffers;
}

std::size_t item_bytes(std::size_t head_dim, std::size_t n_dim_tiles, std::size_t v_bytes) {
  using Cutter = ScratchCutter;
  return 2 * Cutter::size_of_piece<float>(kMaxQueryRows * head_dim) +
         2 * Cutter::size_of_piece<float>(kMaxQueryRows * kBlockTokens) +
         Cutter::size_of_piece<float>(kMaxQueryRows * n_dim_tiles * kTileRows) +
         2 * Cutter::size_of_piece<float>(kMaxQueryRows) + 2 * Cutter::size_of_piece<std::int64_t>(kMaxQueryRows) +
         Cutter::size_of_piece<std::byte>(v_bytes);
}

}  // namespace

const AttendKernel& attend_kernel(const KernelTable& table, DType kv_dtype) {
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

ScratchNeed CpuKernels::attention_need(const Attention& op, const Bucket& bucket, const KvPool& kv_pool) const {
  const std::int64_t n_dim_tiles = kv_pool.n_dim_tiles();
  const std::int64_t heads_per_kv = op.heads.n_heads / op.heads.n_kv_heads;
  const std::int64_t item_rows = std::min<std::int64_t>(kMaxQueryRows, bucket.max_tokens * heads_per_kv);
  // Fewer than kItemsPerThread items a thread are cut, into at most one part more than reaches that number.
  const std::int64_t partial_rows = 2 * kItemsPerThread * pool_.n_threads() * item_rows;
  const std::int64_t n_floats = partial_rows * partial_row_floats(kv_pool.n_dim_tiles());
  return {.partials = static_cast<std::size_t>(n_floats) * sizeof(float),
          .per_thread =
              item_bytes(static_cast<std::size_t>(kv_pool.padded_head_dim()), static_cast<std::size_t>(n_dim_tiles),
                         static_cast<std::size_t>(kv_pool.v_block_bytes()))};
}

Result<void> CpuKernels::check_pages(const Attention& op, const HostFrame& frame) const {
  const Batch& batch = frame.batch;
  const KvPool& cache = kv_pool(frame);
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

void CpuKernels::plan_attention(const Attention& op, const HostFrame& frame) {
  const Batch& batch = frame.batch;
  const std::int32_t heads_per_kv = op.heads.n_heads / op.heads.n_kv_heads;
  items_.clear();
  joins_.clear();
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
    // Late rows look at more tokens: they go first, so that the last chunks to finish are short ones.
    for (std::int64_t block = ceil_divide<std::int64_t>(n_rows, kMaxQueryRows) - 1; block >= 0; --block) {
      AttentionItem item{.seq = seq, .first_row = block * kMaxQueryRows};
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
      const auto n_real = static_cast<std::int32_t>(ceil_divide(length, part_tokens));
      const std::int64_t end = item.end_token;
      for (item.kv_head = 0; item.kv_head < op.heads.n_kv_heads; ++item.kv_head) {
        if (n_real > 1) joins_.push_back({seq, item.kv_head, item.first_row, item.n_rows, partial, n_real});
        for (std::int32_t part = 0; part < n_real; ++part) {
          item.first_token = first + part * part_tokens;
          item.end_token = std::min(end, item.first_token + part_tokens);
          item.partial = n_real > 1 ? partial : -1;
          if (n_real > 1) partial += item.n_rows;
          items_.push_back(item);
        }
      }
    }
  }
}

CpuKernels::RowPlace CpuKernels::place_of(const Attention& op, const HostFrame& frame, const AttentionItem& item,
                                          std::int64_t row) const {
  const auto heads_per_kv = static_cast<std::uint32_t>(op.heads.n_heads / op.heads.n_kv_heads);
  const std::int64_t begin = frame.batch.q_starts[static_cast<std::size_t>(item.seq)];
  const auto at = static_cast<std::uint32_t>(item.first_row + row);
  return {begin + at / heads_per_kv, std::int64_t{item.kv_head} * heads_per_kv + at % heads_per_kv};
}

void CpuKernels::pack_query(const Attention& op, const HostFrame& frame, const AttentionItem& item,
                            const AttendKernel& kernel, const AttentionBuffers& buffers) {
  const std::int64_t head_dim = op.heads.head_dim;
  const std::int64_t padded_dim = kv_pool(frame).padded_head_dim();
  const MatrixView<float> q = frame.value(op.q);
  for (std::int32_t row = 0; row < item.n_rows; ++row) {
    const RowPlace place = place_of(op, frame, item, row);
    std::memcpy(buffers.query.data() + row * head_dim, q.row(place.token).data() + place.head * head_dim,
                static_cast<std::size_t>(head_dim) * sizeof(float));
    const std::int64_t position = frame.batch.positions[static_cast<std::size_t>(place.token)];
    buffers.last_seen[static_cast<std::size_t>(row)] = position;
    buffers.first_seen[static_cast<std::size_t>(row)] = op.window > 0 ? position - op.window + 1 : 0;
  }
  const std::int64_t element_bytes = kernel.act == ActType::kBf16 ? 2 : 4;
  for (int block = 0; block < ceil_divide(item.n_rows, kernel.max_rows); ++block) {
    const int first = row_block_begin(item.n_rows, kernel.max_rows, block);
    table_.pack({.x = buffers.query.data() + first * head_dim,
                 .x_stride = head_dim,
                 .n_rows = row_block_begin(item.n_rows, kernel.max_rows, block + 1) - first,
                 .k = head_dim,
                 .k_padded = padded_dim,
                 .unit = kernel.unit,
                 .act = kernel.act,
                 .out = reinterpret_cast<std::byte*>(buffers.packed.data()) + first * padded_dim * element_bytes});
  }
}

/// Runs the kernel over the item's part of the cache, 128 tokens at a time.
void CpuKernels::attend_blocks(const Attention& op, const HostFrame& frame, const AttentionItem& item,
                               const AttendKernel& kernel, const AttentionBuffers& buffers) {
  const Batch& batch = frame.batch;
  const KvPool& cache = kv_pool(frame);
  const std::byte* k_tiles[kBlockTiles];
  const std::byte* v_tiles[kBlockTiles];
  const float* k_scales[kBlockTiles];
  const float* v_scales[kBlockTiles];
  const std::byte* values_ahead[kBlockTiles];
  const std::byte* keys_ahead[kBlockTiles];
  AttendArgs args{.q = buffers.packed.data(),
                  .n_rows = item.n_rows,
                  .head_dim = cache.padded_head_dim(),
                  .n_dim_tiles = cache.n_dim_tiles(),
                  .k_tiles = k_tiles,
                  .v_tiles = v_tiles,
                  .v_dim_stride = cache.v_dim_stride(),
                  .k_scales = cache.has_scales() ? k_scales : nullptr,
                  .v_scales = cache.has_scales() ? v_scales : nullptr,
                  .first_seen = buffers.first_seen.data(),
                  .last_seen = buffers.last_seen.data(),
                  .scale = op.scale,
                  .softcap = op.softcap,
                  .o = buffers.o.data(),
                  .m = buffers.m.data(),
                  .l = buffers.l.data(),
                  .scores = buffers.scores.data(),
                  .weights = buffers.weights.data()};
  // Divisions of 32 bits: those of 64 are several times as slow on CPUs before Ice Lake, and there are some for each
  // tile.
  const auto page_tokens = static_cast<std::uint32_t>(cache.spec().page_tokens);
  struct Place {
    std::int32_t page = 0;
    std::int32_t within = 0;  ///< token of the page
  };
  const std::int32_t* const table = batch.block_table.data() + std::int64_t{item.seq} * batch.max_pages_per_seq;
  const auto place_in_cache = [&](std::int64_t token) {
    const auto at = static_cast<std::uint32_t>(token);
    return Place{table[at / page_tokens], static_cast<std::int32_t>(at % page_tokens)};
  };
  const std::int64_t n_cached = batch.kv_lengths[static_cast<std::size_t>(item.seq)];
  const auto n_tiles_from = [&](std::int64_t token) {
    const std::int64_t n_left = ceil_divide<std::int64_t>(std::max<std::int64_t>(0, item.end_token - token), kTileRows);
    return static_cast<int>(std::min<std::int64_t>(kBlockTiles, n_left));
  };
  for (std::int64_t token = item.first_token; token < item.end_token; token += kBlockTokens) {
    args.first_token = token;
    args.n_tiles = n_tiles_from(token);
    const int n_next = n_tiles_from(token + kBlockTokens);
    for (int tile = 0; tile < n_next; ++tile) {
      const Place place = place_in_cache(token + kBlockTokens + tile * kTileRows);
      keys_ahead[tile] = cache.k_share(op.layer, place.page, item.kv_head, place.within);
    }
    args.values_ahead = {values_ahead, args.n_tiles, cache.v_share_bytes()};
    args.keys_ahead = {keys_ahead, n_next, cache.k_share_bytes()};
    for (int tile = 0; tile < args.n_tiles; ++tile) {
      const std::int64_t at = token + tile * kTileRows;
      const Place place = place_in_cache(at);
      k_tiles[tile] = cache.k_tile(op.layer, place.page, item.kv_head, place.within);
      values_ahead[tile] = cache.v_share(op.layer, place.page, item.kv_head, place.within);
      v_tiles[tile] = cache.v_tile(op.layer, place.page, item.kv_head, place.within);
      if (cache.has_scales()) {
        k_scales[tile] = cache.k_scales(op.layer, place.page, item.kv_head, place.within);
        v_scales[tile] = cache.v_scales(op.layer, place.page, item.kv_head, place.within);
      }
      // Slots past the end hold what another sequence left there, perhaps NaN, which a weight of zero does not hide.
      if (at + kTileRows > n_cached) {
        cache.copy_value_tile(v_tiles[tile], static_cast<int>(n_cached - at), buffers.last_values);
        v_tiles[tile] = buffers.last_values.data();
        if (!cache.has_scales()) continue;
        v_scales[tile] = cache.copy_value_scales(v_scales[tile], static_cast<int>(n_cached - at), buffers.last_values);
      }
    }
    kernel.attend(args);
  }
}

void CpuKernels::attend_item(const Attention& op, const HostFrame& frame, const AttentionItem& item, int thread) {
  const KvPool& cache = kv_pool(frame);
  const AttendKernel& kernel = attend_kernel(table_, cache.spec().dtype);
  const std::int64_t head_dim = op.heads.head_dim;
  const std::int64_t o_stride = std::int64_t{cache.n_dim_tiles()} * kTileRows;
  const AttentionBuffers buffers =
      cut(scratch_.of_thread(thread), static_cast<std::size_t>(cache.padded_head_dim()),
          static_cast<std::size_t>(cache.n_dim_tiles()), static_cast<std::size_t>(cache.v_block_bytes()));
  pack_query(op, frame, item, kernel, buffers);
  std::fill_n(buffers.m.data(), item.n_rows, kNoMaximum);
  std::fill_n(buffers.l.data(), item.n_rows, 0.0F);
  std::fill_n(buffers.o.data(), item.n_rows * o_stride, 0.0F);
  attend_blocks(op, frame, item, kernel, buffers);

  const std::int64_t part_floats = partial_row_floats(cache.n_dim_tiles());
  const MatrixView<float> out = frame.value(op.out);
  for (std::int32_t row = 0; row < item.n_rows; ++row) {
    const auto r = static_cast<std::size_t>(row);
    const float* const sums = buffers.o.data() + row * o_stride;
    if (item.partial >= 0) {
      float* const part = scratch_.partials().data() + (item.partial + row) * part_floats;
      part[0] = buffers.m[r];
      part[1] = buffers.l[r];
      std::copy_n(sums, o_stride, part + 2);
      continue;
    }
    const RowPlace place = place_of(op, frame, item, row);
    table_.scale_into(sums, 1.0F / buffers.l[r], head_dim, out.row(place.token).data() + place.head * head_dim);
  }
}

void CpuKernels::join_parts(const Attention& op, const HostFrame& frame, const AttentionJoin& join) {
  const KvPool& cache = kv_pool(frame);
  const std::int64_t row_floats = partial_row_floats(cache.n_dim_tiles());
  const std::int64_t part_floats = join.n_rows * row_floats;
  const std::int32_t heads_per_kv = op.heads.n_heads / op.heads.n_kv_heads;
  const std::int32_t begin = frame.batch.q_starts[static_cast<std::size_t>(join.seq)];
  const MatrixView<float> out = frame.value(op.out);
  for (std::int32_t row = 0; row < join.n_rows; ++row) {
    const float* const parts = scratch_.partials().data() + join.partial * row_floats + row * row_floats;
    float maximum = parts[0];
    for (std::int32_t part = 1; part < join.n_parts; ++part) maximum = std::max(maximum, parts[part * part_floats]);
    float sum = 0.0F;
    for (std::int32_t part = 0; part < join.n_parts; ++part) {
      sum += parts[part * part_floats + 1] * std::exp2(parts[part * part_floats] - maximum);
    }
    const std::int64_t t = begin + (join.first_row + row) / heads_per_kv;
    const std::int64_t head = join.kv_head * heads_per_kv + (join.first_row + row) % heads_per_kv;
    float* const to = out.row(t).data() + head * op.heads.head_dim;
    std::fill_n(to, op.heads.head_dim, 0.0F);
    for (std::int32_t part = 0; part < join.n_parts; ++part) {
      const float* const from = parts + part * part_floats;
      const float factor = std::exp2(from[0] - maximum) / sum;
      for (std::int32_t i = 0; i < op.heads.head_dim; ++i) to[i] += factor * from[2 + i];
    }
  }
}

Result<void> CpuKernels::run(const Attention& op, const HostFrame& frame) {
  SS_TRY_VOID(check_pages(op, frame));
  plan_attention(op, frame);
  pool_.run(static_cast<std::int64_t>(items_.size()), [&](std::int64_t chunk, int thread) {
    attend_item(op, frame, items_[static_cast<std::size_t>(chunk)], thread);
  });
  for (const AttentionJoin& join : joins_) join_parts(op, frame, join);
  // Padding rows belong to no sequence; they get something finite.
  const MatrixView<float> out = frame.value(op.out);
  for (std::int64_t t = frame.batch.q_starts.back(); t < out.rows(); ++t) std::ranges::fill(out.row(t), 0.0F);
  return {};
}

}  // namespace secondsource::cpu
