// Decode attention, one new token per sequence, split along the KV cache so that one long sequence fills the device
// (Flash-Decoding).
//
//   split s:  m_s = max_j score_j,  d_s = sum_j exp(score_j - m_s),  o_s = sum_j exp(score_j - m_s) v_j
//   combine:  m = max_s m_s,  out = sum_s exp(m_s - m) o_s / (exp(sink - m) + sum_s exp(m_s - m) d_s), without sinks 0
//             in the place of exp(sink - m)
//   score_j = softcap(scale * q . k_j), over positions j <= position, and j > position - window when window > 0
//
// Shapes       q, out: [T, n_heads, head_dim]; KV cache: [n_pages, n_kv_heads, page_tokens, head_dim];
//              partial: [decodes, n_heads, n_splits, head_dim + 2] = o_s, m_s, d_s
// Dtypes       q, out, partial: f32; KV cache: BF16, widened to f32
// Accumulator  f32, in an order that does not depend on timing
// Aliasing     out may be q: it is written by the second kernel
// Alignment    cache rows to 16 bytes, as head_dim is a multiple of 8
// Source       Flash-Decoding (Dao, Haziza, Massa, Sizov, 2023); online softmax: arXiv:1805.02867
//
// A block takes one split for up to kHeads query heads of one KV head, so the cache is read once for all of them. No
// block waits for another.

#include "core/checked.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/softmax_state.h"
#include "gpu/kernels/weight_code.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kWarps = 4;
constexpr int kKvTile = 128;     ///< positions of one KV tile, the work between two barriers
constexpr int kLanesPerKey = 8;  ///< lanes that read one key together, 16 bytes each

/// Shared memory of a block that takes kHeads query heads of one KV head.
template <int kHeads>
struct Shared {
  float queries[kHeads][kMaxHeadDim];
  float scores[kHeads][kKvTile];
  float sums[kHeads][kMaxHeadDim];
  float row_max[kHeads];
  float sum[kHeads];
  float rescale[kHeads];
};

struct Span {
  int begin;
  int end;
};

/// The positions of one split that the token at `position` may see.
SS_DEVICE Span split_span(const AttentionArguments& a, int position, int split) {
  const int seen = a.window > 0 && position >= a.window ? position - a.window + 1 : 0;
  const int begin = split * a.split_tokens;
  const int end = begin + a.split_tokens;
  return {begin > seen ? begin : seen, end < position + 1 ? end : position + 1};
}

/// Offset of the first element of a position's cache row.
SS_DEVICE std::int64_t cached_row(const AttentionArguments& a, const std::int32_t* pages, int kv_head, int position) {
  const std::int64_t page = pages[position / a.kv.page_tokens];
  return ((page * a.kv.n_kv_heads + kv_head) * a.kv.page_tokens + position % a.kv.page_tokens) * a.kv.head_dim;
}

SS_DEVICE void load_bf16(const Bf16* from, float* values) {
  unpack<WeightEncoding::kBf16>(load_chunk(from), values);
}

/// scores[h][i] = q[h] . k[first + i], without the scale, for i < n.
template <int kHeads>
SS_DEVICE void score_kv_tile(const AttentionArguments& a, Shared<kHeads>& shared, const std::int32_t* pages,
                             int kv_head, int first, int n) {
  const int n_chunks = a.kv.head_dim / 8;
  const int part = thread_x() % kLanesPerKey;
  const int n_at_once = n_threads() / kLanesPerKey;
  for (int base = 0; base < n; base += n_at_once) {
    const int i = base + thread_x() / kLanesPerKey;
    float sums[kHeads] = {};
    if (i < n) {
      const Bf16* const key = a.kv.keys + cached_row(a, pages, kv_head, first + i);
      for (int chunk = part; chunk < n_chunks; chunk += kLanesPerKey) {
        float values[8];
        load_bf16(key + chunk * 8, values);
        SS_UNROLL
        for (int h = 0; h < kHeads; ++h) {
          SS_UNROLL
          for (int d = 0; d < 8; ++d) sums[h] += values[d] * shared.queries[h][chunk * 8 + d];
        }
      }
    }
    SS_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      const float product = sum_lanes(sums[h], kLanesPerKey);
      if (part == 0 && i < n) shared.scores[h][i] = product;
    }
  }
}

/// Online softmax over one KV tile, one warp per head: replaces scores by exp(score - row_max) and updates the running
/// maximum and sum. shared.rescale is the factor for the older outputs.
template <int kHeads>
SS_DEVICE void update_softmax(const AttentionArguments& a, Shared<kHeads>& shared, int n) {
  for (int h = warp(); h < kHeads; h += n_warps()) {
    SoftmaxState state{.m = shared.row_max[h]};
    float row_max = state.m;
    for (int i = lane(); i < n; i += kWarpSize) {
      const float score = soft_cap(a.scale * shared.scores[h][i], a.softcap);
      shared.scores[h][i] = score;
      row_max = larger(score, row_max);
    }
    row_max = max_lanes(row_max);
    const float shift = SoftmaxState::shift(row_max);
    float sum = 0.0F;
    for (int i = lane(); i < n; i += kWarpSize) {
      const float weight = expf(shared.scores[h][i] - shift);
      shared.scores[h][i] = weight;
      sum += weight;
    }
    sum = sum_lanes(sum);
    if (lane() == 0) {
      const float rescale = state.rescale_to(row_max);
      shared.rescale[h] = rescale;
      state.d = shared.sum[h];
      state.merge(row_max, rescale, [&] { return sum; });
      shared.sum[h] = state.d;
      shared.row_max[h] = state.m;
    }
  }
}

template <int kHeads>
SS_KERNEL(kMaxThreads)
split_attention_kernel(AttentionArguments a) {
  const int decode = block_z();
  if (decode >= *a.batch.n_decodes) return;
  const int token = a.batch.decode_tokens[decode];
  const int group = a.n_heads / a.kv.n_kv_heads;
  const int parts = (group + kHeads - 1) / kHeads;  // blocks per KV head
  const int kv_head = block_y() / parts;
  const int first_head = kv_head * group + block_y() % parts * kHeads;
  const int n_heads = group - block_y() % parts * kHeads < kHeads ? group - block_y() % parts * kHeads : kHeads;
  const int head_dim = a.kv.head_dim;
  const Span span = split_span(a, a.batch.positions[token], block_x());
  const std::int32_t* const pages =
      a.batch.block_table + std::int64_t{a.batch.token_seqs[token]} * a.batch.max_pages_per_seq;
  const auto partial = [&](int h) {
    return a.partial + ((std::int64_t{decode} * a.n_heads + first_head + h) * a.n_splits + block_x()) * (head_dim + 2);
  };

  auto& shared = shared_memory<Shared<kHeads>>();
  for (int i = thread_x(); i < kHeads * head_dim; i += n_threads()) {
    const int h = i / head_dim;
    const std::int64_t at = (std::int64_t{token} * a.n_heads + first_head + h) * head_dim + i % head_dim;
    shared.queries[h][i % head_dim] = h < n_heads ? a.q[at] : 0.0F;
    shared.sums[h][i % head_dim] = 0.0F;
  }
  if (thread_x() < kHeads) {
    shared.row_max[thread_x()] = kNegInf;
    shared.sum[thread_x()] = 0.0F;
  }
  // For P V a thread takes 8 dimensions of every n_workers-th position.
  const int n_chunks = head_dim / 8;
  const int dim = thread_x() % n_chunks * 8;
  const int worker = thread_x() / n_chunks;
  const int n_workers = n_threads() / n_chunks;
  float sums[kHeads][8] = {};
  for (int first = span.begin; first < span.end; first += kKvTile) {
    const int n = span.end - first < kKvTile ? span.end - first : kKvTile;
    sync_block();  // queries are stored, and all reads of the last tile's scores are done
    score_kv_tile<kHeads>(a, shared, pages, kv_head, first, n);
    sync_block();  // scores are stored
    update_softmax<kHeads>(a, shared, n);
    sync_block();  // probabilities are stored
    SS_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      SS_UNROLL
      for (int d = 0; d < 8; ++d) sums[h][d] *= shared.rescale[h];
    }
    if (worker >= n_workers) continue;
    for (int i = worker; i < n; i += n_workers) {
      float values[8];
      load_bf16(a.kv.values + cached_row(a, pages, kv_head, first + i) + dim, values);
      SS_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        SS_UNROLL
        for (int d = 0; d < 8; ++d) sums[h][d] += shared.scores[h][i] * values[d];
      }
    }
  }
  // One worker after another, so that the order of the sum is fixed.
  for (int turn = 0; turn < n_workers; ++turn) {
    sync_block();
    if (worker != turn) continue;
    SS_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      SS_UNROLL
      for (int d = 0; d < 8; ++d) shared.sums[h][dim + d] += sums[h][d];
    }
  }
  sync_block();
  for (int i = thread_x(); i < n_heads * head_dim; i += n_threads()) {
    partial(i / head_dim)[i % head_dim] = shared.sums[i / head_dim][i % head_dim];
  }
  if (thread_x() < n_heads) {
    partial(thread_x())[head_dim] = shared.row_max[thread_x()];
    partial(thread_x())[head_dim + 1] = shared.sum[thread_x()];
  }
}

/// exp(m_split - m_max), this split's weight; 1 if all its scores are -inf: its sums are then 0, or NaN, which must
/// propagate.
SS_DEVICE float split_weight(const float* partial, int head_dim, float row_max) {
  return partial[head_dim] == kNegInf ? 1.0F : expf(partial[head_dim] - row_max);
}

SS_KERNEL(kMaxThreads) combine_attention_kernel(AttentionArguments a) {
  const int decode = block_y();
  const int head = block_x();
  if (decode >= *a.batch.n_decodes) return;
  const int head_dim = a.kv.head_dim;
  const int stride = head_dim + 2;
  const float* const partial = a.partial + (std::int64_t{decode} * a.n_heads + head) * a.n_splits * stride;
  float row_max = kNegInf;
  for (int s = 0; s < a.n_splits; ++s) row_max = larger(partial[s * stride + head_dim], row_max);
  float total = weight_of_sink(a.sinks, head, row_max);
  for (int s = 0; s < a.n_splits; ++s) {
    total += split_weight(partial + s * stride, head_dim, row_max) * partial[s * stride + head_dim + 1];
  }
  float* const out = a.out + (std::int64_t{a.batch.decode_tokens[decode]} * a.n_heads + head) * head_dim;
  for (int d = thread_x(); d < head_dim; d += n_threads()) {
    float sum = 0.0F;
    for (int s = 0; s < a.n_splits; ++s) {
      sum += split_weight(partial + s * stride, head_dim, row_max) * partial[s * stride + d];
    }
    out[d] = sum / total;
  }
}

template <int kHeads>
Result<void> launch_for(const LaunchContext& context, const AttentionArguments& arguments) {
  const std::int32_t group = arguments.n_heads / arguments.kv.n_kv_heads;
  const auto n_parts = static_cast<std::uint32_t>(arguments.kv.n_kv_heads * ceil_divide(group, kHeads));
  return launch(context.stream, "split_attention", split_attention_kernel<kHeads>,
                {.grid = {static_cast<std::uint32_t>(arguments.n_splits), n_parts,
                          static_cast<std::uint32_t>(arguments.max_decodes)},
                 .threads = static_cast<std::uint32_t>(kWarps * context.warp_size),
                 .shared_bytes = sizeof(Shared<kHeads>)},
                arguments);
}

}  // namespace

Result<void> launch_decode_attention(const LaunchContext& context, const AttentionArguments& arguments) {
  const std::int32_t group = arguments.n_heads / arguments.kv.n_kv_heads;
  SS_TRY_VOID(group == 1   ? launch_for<1>(context, arguments)
              : group == 2 ? launch_for<2>(context, arguments)
              : group <= 4 ? launch_for<4>(context, arguments)
                           : launch_for<8>(context, arguments));
  return launch(
      context.stream, "combine_attention", combine_attention_kernel,
      {.grid = {static_cast<std::uint32_t>(arguments.n_heads), static_cast<std::uint32_t>(arguments.max_decodes)},
       .threads = static_cast<std::uint32_t>(2 * context.warp_size)},
      arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
