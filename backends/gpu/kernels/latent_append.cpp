// The latents of multi-head latent attention: the norm of the latent, the rotation of what follows it, both written to the paged
// cache; and the rotation of the last elements of each query head. One warp per head of a token, and one for the latent.
//
//   key = (latent[:R] * norm / sqrt(mean(latent[:R]^2) + norm_eps), rotated latent[R:]),   R = latent_dim
//   q_out = growth * (q[:R], rotated q[R:]),   growth as in rope_append.cpp
//
// Shapes       latent: [T, head_dim]; q, q_out: [T, n_heads, head_dim]; norm: [latent_dim]; inv_freq: [(head_dim - latent_dim) / 2];
//              KV cache: [n_pages, page_tokens, head_dim]
// Dtypes       f32; KV cache: BF16, rounded to nearest even
// Accumulator  f32, for the norm's sum of squares
// Aliasing     q_out may be q; the cache overlaps nothing else
// Alignment    that of the types
// Source       op.h's LatentAppend; DeepSeek-V2, arXiv:2405.04434, section 2.1

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

SS_KERNEL(kMaxThreads) latent_append_kernel(LatentAppendArguments a) {
  wait_for_earlier_kernels();
  const int token = block_x();
  const int head = block_y() * n_warps() + warp();  // query heads, then the latent
  if (token >= *a.batch.n_tokens || head > a.n_heads) return;
  const bool is_query = head < a.n_heads;
  const int head_dim = a.kv.head_dim;
  const int position = a.batch.positions[token];
  const std::int64_t query_at = (std::int64_t{token} * a.n_heads + head) * head_dim;
  const float* const x = is_query ? a.q + query_at : a.latent + std::int64_t{token} * head_dim;
  float* const out = a.q_out + query_at;
  Bf16* cached = nullptr;
  float scale = 1.0F;
  if (is_query) {
    scale = query_growth(position, a.query_beta, a.query_period);
    if (a.q != a.q_out || a.query_period > 0) {
      for (int i = lane(); i < a.latent_dim; i += kWarpSize) out[i] = scale * x[i];
    }
  } else {
    const int slot = a.batch.kv_slots[token];
    if (slot < 0) return;  // padding is not cached; the condition is the same in all lanes of the warp
    cached = a.kv.keys + std::int64_t{slot} * head_dim;  // with one KV head, slots follow each other through all pages
    const float factor = inverse_rms(x, a.latent_dim, a.norm_eps);
    for (int i = lane(); i < a.latent_dim; i += kWarpSize) cached[i] = narrow(x[i] * (factor * a.norm[i]));
  }
  const int half = (head_dim - a.latent_dim) / 2;
  for (int i = lane(); i < half; i += kWarpSize) {
    const PairRotation rotation = pair_rotation(position, a.inv_freq[i], a.attention_factor);
    const int at = a.latent_dim + i;
    const float first = x[at];
    const float second = x[at + half];
    if (is_query) {
      out[at] = scale * rotation.first(first, second);
      out[at + half] = scale * rotation.second(first, second);
    } else {
      cached[at] = narrow(rotation.first(first, second));
      cached[at + half] = narrow(rotation.second(first, second));
    }
  }
}

}  // namespace

Result<void> launch_latent_append(const LaunchContext& context, const LatentAppendArguments& arguments) {
  return launch(context.stream, "latent_append", latent_append_kernel,
                {.grid = {static_cast<std::uint32_t>(arguments.max_rows),
                          static_cast<std::uint32_t>(ceil_divide(arguments.n_heads + 1, kWarps))},
                 .threads = static_cast<std::uint32_t>(kWarps * context.warp_size)},
                arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
