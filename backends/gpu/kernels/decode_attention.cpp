// Attention of single tokens, split along the cache so that one long sequence fills the device (FlashDecoding): a block
// takes one piece of the cache for the query heads that share a key-value head, so that the cache is read once. A
// second kernel puts the pieces together; no block waits for another.

#include "core/checked.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/weight_code.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kWarps = 4;
constexpr int kPiece = 128;      ///< positions between two barriers
constexpr int kLanesPerKey = 8;  ///< that read one key together, 16 bytes each
constexpr float kNothing = -INFINITY;

/// Query heads that one block takes, of one key-value head.
template <int kHeads>
struct Shared {
  float queries[kHeads][kMaxHeadDim];
  float scores[kHeads][kPiece];
  float sums[kHeads][kMaxHeadDim];
  float largest[kHeads];
  float sum[kHeads];
  float rescale[kHeads];
};

struct Span {
  int begin;
  int end;
};

/// The positions that a token sees in one split.
SS_DEVICE Span split_span(const AttentionArguments& a, int position, int split) {
  const int seen = a.window > 0 && position >= a.window ? position - a.window + 1 : 0;
  const int begin = split * a.split_tokens;
  const int end = begin + a.split_tokens;
  return {begin > seen ? begin : seen, end < position + 1 ? end : position + 1};
}

/// First element of the cached row of a position.
SS_DEVICE std::int64_t cached_row(const AttentionArguments& a, const std::int32_t* pages, int kv_head, int position) {
  const std::int64_t page = pages[position / a.kv.page_tokens];
  return ((page * a.kv.n_kv_heads + kv_head) * a.kv.page_tokens + position % a.kv.page_tokens) * a.kv.head_dim;
}

SS_DEVICE void load_bf16(const Bf16* from, float* values) {
  unpack<WeightEncoding::kBf16>(load_chunk(from), values);
}

/// scores[h][i] = q . k of positions [first, first + n).
template <int kHeads>
SS_DEVICE void score_piece(const AttentionArguments& a, Shared<kHeads>& shared, const std::int32_t* pages, int kv_head,
                           int first, int n) {
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

/// Products become scores and weights, a warp a head; the running maximum and sum go on.
template <int kHeads>
SS_DEVICE void weigh_piece(const AttentionArguments& a, Shared<kHeads>& shared, int n) {
  for (int h = warp(); h < kHeads; h += n_warps()) {
    const float before = shared.largest[h];
    float largest = before;
    for (int i = lane(); i < n; i += kWarpSize) {
      const float score = soft_cap(a.scale * shared.scores[h][i], a.softcap);
      shared.scores[h][i] = score;
      largest = larger(score, largest);
    }
    largest = max_lanes(largest);
    const float shift = largest == kNothing ? 0.0F : largest;
    float sum = 0.0F;
    for (int i = lane(); i < n; i += kWarpSize) {
      const float weight = expf(shared.scores[h][i] - shift);
      shared.scores[h][i] = weight;
      sum += weight;
    }
    sum = sum_lanes(sum);
    if (lane() == 0) {
      const float rescale = expf(before - shift);
      shared.rescale[h] = rescale;
      shared.sum[h] = shared.sum[h] * rescale + sum;
      shared.largest[h] = largest;
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
  const int parts = (group + kHeads - 1) / kHeads;  // blocks that share a key-value head
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
    shared.largest[thread_x()] = kNothing;
    shared.sum[thread_x()] = 0.0F;
  }
  // For the values a thread takes 8 dimensions of every n-th position.
  const int n_chunks = head_dim / 8;
  const int dim = thread_x() % n_chunks * 8;
  const int worker = thread_x() / n_chunks;
  const int n_workers = n_threads() / n_chunks;
  float sums[kHeads][8] = {};
  for (int first = span.begin; first < span.end; first += kPiece) {
    const int n = span.end - first < kPiece ? span.end - first : kPiece;
    sync_block();  // queries are there, and nobody reads the piece before any more
    score_piece<kHeads>(a, shared, pages, kv_head, first, n);
    sync_block();  // products are there
    weigh_piece<kHeads>(a, shared, n);
    sync_block();  // weights are there
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
  // Worker after worker, so that the sum's order is always the same.
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
    partial(thread_x())[head_dim] = shared.largest[thread_x()];
    partial(thread_x())[head_dim + 1] = shared.sum[thread_x()];
  }
}

/// By how much one split's sums count. Where no score of a split is a number above -inf, they are 0 or NaN as they are.
SS_DEVICE float split_share(const float* partial, int head_dim, float largest) {
  return partial[head_dim] == kNothing ? 1.0F : expf(partial[head_dim] - largest);
}

SS_KERNEL(kMaxThreads) combine_attention_kernel(AttentionArguments a) {
  const int decode = block_y();
  const int head = block_x();
  if (decode >= *a.batch.n_decodes) return;
  const int head_dim = a.kv.head_dim;
  const int stride = head_dim + 2;
  const float* const partial = a.partial + (std::int64_t{decode} * a.n_heads + head) * a.n_splits * stride;
  float largest = kNothing;
  for (int s = 0; s < a.n_splits; ++s) largest = larger(partial[s * stride + head_dim], largest);
  float total = 0.0F;
  for (int s = 0; s < a.n_splits; ++s) {
    total += split_share(partial + s * stride, head_dim, largest) * partial[s * stride + head_dim + 1];
  }
  float* const out = a.out + (std::int64_t{a.batch.decode_tokens[decode]} * a.n_heads + head) * head_dim;
  for (int d = thread_x(); d < head_dim; d += n_threads()) {
    float sum = 0.0F;
    for (int s = 0; s < a.n_splits; ++s) {
      sum += split_share(partial + s * stride, head_dim, largest) * partial[s * stride + d];
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
