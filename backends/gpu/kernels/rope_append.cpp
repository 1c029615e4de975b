// Optional norm of q and k (op.h's HeadNorm), rotary embedding (arXiv:2104.09864, half-rotation layout), and the write of k and v to the
// paged cache. One warp per head of a token.
//
//   angle = position * inv_freq[i],   c = attention_factor * cos(angle),   s = attention_factor * sin(angle), but without
//   the factor where inv_freq[i] is 0
//   out[i] = x[i] c - x[i + head_dim/2] s,   out[i + head_dim/2] = x[i + head_dim/2] c + x[i] s
//   With query_period > 0, q_out is out * (1 + query_beta * ln(1 + floor(position / query_period))).
//
// Shapes       qkv: [T, qkv_stride], whose first n_heads * head_dim columns are the q heads;
//              k, v: T rows of n_kv_heads * head_dim values, which begin k_stride and v_stride values after each other; if q, k
//              and v are columns of one matrix, k and v point into the rows of qkv;
//              q_out: [T, n_heads * head_dim];
//              inv_freq: [head_dim / 2]; q_norm, k_norm: null, [head_dim] for all heads, or [n_heads * head_dim] and
//              [n_kv_heads * head_dim];
//              KV cache: [n_pages, n_kv_heads, page_tokens, head_dim]
// Dtypes       f32; KV cache: BF16, rounded to nearest even
// Accumulator  f32, for the norm's mean and sum of squares
// Aliasing     q_out and the cache overlap neither qkv, k nor v
// Alignment    that of the types
// Source       op.h's RopeSpec, which follows Hugging Face: the product position * inv_freq is rounded to f32

#include "core/checked.h"
#include "gpu/kernels/head_rotation.h"
#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/storage.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kWarps = 4;

SS_KERNEL(kMaxThreads) rope_append_kernel(RopeAppendArguments a) {
  wait_for_earlier_kernels();
  const int token = block_x();
  const int n_kv_heads = a.kv.n_kv_heads;
  const int head_dim = a.kv.head_dim;
  const int head = block_y() * n_warps() + warp();  // q heads, then k heads, then v heads
  if (token >= *a.batch.n_tokens || head >= a.n_heads + 2 * n_kv_heads) return;
  const bool is_query = head < a.n_heads;
  const bool is_value = head >= a.n_heads + n_kv_heads;
  const float* const x = is_value ? a.v + std::int64_t{token} * a.v_stride + (head - a.n_heads - n_kv_heads) * head_dim
                         : is_query ? a.qkv + std::int64_t{token} * a.qkv_stride + head * head_dim
                                    : a.k + std::int64_t{token} * a.k_stride + (head - a.n_heads) * head_dim;

  const int slot = a.batch.kv_slots[token];
  Bf16* cached = nullptr;
  if (!is_query) {
    if (slot < 0) return;  // padding is not cached; the condition is the same in all lanes of the warp
    const int kv_head = (head - a.n_heads) % n_kv_heads;
    const std::int64_t page = slot / a.kv.page_tokens;
    const std::int64_t at = ((page * n_kv_heads + kv_head) * a.kv.page_tokens + slot % a.kv.page_tokens) * head_dim;
    cached = (is_value ? a.kv.values : a.kv.keys) + at;
  }
  if (is_value) {
    for (int i = lane(); i < head_dim; i += kWarpSize) cached[i] = narrow(x[i]);
    return;
  }
  const float* norm = is_query ? a.q_norm : a.k_norm;
  float mean = 0.0F;
  float factor = 1.0F;
  if (norm != nullptr) {
    // Where this head begins among those of q or of k.
    const int begin = (is_query ? head : head - a.n_heads) * head_dim;
    if (a.head_norm == HeadNorm::kRmsOfAllHeads) {
      factor = inverse_rms(x - begin, (is_query ? a.n_heads : n_kv_heads) * head_dim, a.norm_eps);
    } else {
      if (a.head_norm == HeadNorm::kLayerNormOfHead) mean = mean_of(x, head_dim);
      factor = inverse_rms(x, head_dim, a.norm_eps, mean);
    }
    if (a.head_norm != HeadNorm::kRmsOfHead) norm += begin;  // each head has weights of its own
  }
  const int half = head_dim / 2;
  const int at = a.batch.positions[token];
  const float scale = is_query ? query_growth(at, a.query_beta, a.query_period) : 1.0F;
  for (int i = lane(); i < half; i += kWarpSize) {
    const PairRotation rotation = pair_rotation(at, a.inv_freq[i], a.attention_factor);
    float first = x[i];
    float second = x[i + half];
    if (norm != nullptr) {
      first = (first - mean) * (factor * norm[i]);
      second = (second - mean) * (factor * norm[i + half]);
    }
    const float turned_first = rotation.first(first, second);
    const float turned_second = rotation.second(first, second);
    if (is_query) {
      float* const out = a.q_out + (std::int64_t{token} * a.n_heads + head) * head_dim;
      out[i] = turned_first * scale;
      out[i + half] = turned_second * scale;
    } else {
      cached[i] = narrow(turned_first);
      cached[i + half] = narrow(turned_second);
    }
  }
}

}  // namespace

Result<void> launch_rope_append(const LaunchContext& context, const RopeAppendArguments& arguments) {
  const std::int32_t n_heads = arguments.n_heads + 2 * arguments.kv.n_kv_heads;
  return launch(context.stream, "rope_append", rope_append_kernel,
                {.grid = {static_cast<std::uint32_t>(arguments.max_rows),
                          static_cast<std::uint32_t>(ceil_divide(n_heads, kWarps))},
                 .threads = static_cast<std::uint32_t>(kWarps * context.warp_size)},
                arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
