// Kernels that take a row at a time and do not reduce: embedding, row selection; and the quantizer of activations,
// which reduces a maximum.

#include "gpu/kernels/launchers.h"
#include "gpu/kernels/weight_code.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kThreads = 256;

SS_KERNEL(kThreads) embed_kernel(EmbedArguments a) {
  const int token = block_x();
  if (token >= *a.batch.n_tokens) return;
  int id = a.batch.token_ids[token];
  if (id < 0) {
    const int slot = a.batch.token_slots[token];
    id = slot < 0 ? 0 : a.last_sampled[slot];  // padding embeds something
  }
  for (int col = thread_x(); col < a.table.n_cols; col += kThreads) {
    a.out[std::int64_t{token} * a.table.n_cols + col] = a.scale * weight_value(a.table, id, col);
  }
}

SS_KERNEL(kThreads) select_rows_kernel(SelectRowsArguments a) {
  const int row = block_x();
  if (row >= *a.n_rows) return;
  const float* const from = a.x + std::int64_t{a.rows[row]} * a.n_cols;
  for (int col = thread_x(); col < a.n_cols; col += kThreads) a.out[std::int64_t{row} * a.n_cols + col] = from[col];
}

SS_KERNEL(kThreads) quantize_rows_kernel(QuantizeRowsArguments a) {
  const int row = block_x();
  if (row >= *a.n_tokens * a.rows_per_token) return;
  auto& scratch = shared_memory<BlockScratch<float>>();
  const float* const x = a.x + std::int64_t{row} * a.n_cols;
  // NaN wins over every number.
  const auto worst = [](float p, float q) { return p > q || p != p ? p : q; };
  float largest = 0.0F;
  for (int i = thread_x(); i < a.n_cols; i += kThreads) largest = worst(fabsf(x[i]), largest);
  largest = reduce_block(largest, scratch, worst);
  const float scale = largest / 127.0F;
  if (thread_x() == 0) a.scales[row] = scale;
  const bool usable = scale > 0.0F && scale * 0.0F == 0.0F;  // with 0, infinity or NaN the scale alone says it all
  for (int i = thread_x(); i < a.padded_cols; i += kThreads) {
    float q = 0.0F;
    if (usable && i < a.n_cols) q = fminf(fmaxf(rintf(x[i] / scale), -127.0F), 127.0F);
    a.q[std::int64_t{row} * a.padded_cols + i] = static_cast<std::int8_t>(q);
  }
}

LaunchShape a_block_each(std::int32_t n_rows, std::size_t shared_bytes = 0) {
  return {.grid = {static_cast<std::uint32_t>(n_rows)}, .threads = kThreads, .shared_bytes = shared_bytes};
}

}  // namespace

Result<void> launch_embed(const LaunchContext& context, const EmbedArguments& arguments) {
  return launch(context.stream, "embed", embed_kernel, a_block_each(arguments.max_rows), arguments);
}

Result<void> launch_select_rows(const LaunchContext& context, const SelectRowsArguments& arguments) {
  return launch(context.stream, "select_rows", select_rows_kernel, a_block_each(arguments.max_rows), arguments);
}

Result<void> launch_quantize_rows(const LaunchContext& context, const QuantizeRowsArguments& arguments) {
  return launch(context.stream, "quantize_rows", quantize_rows_kernel,
                a_block_each(arguments.max_tokens * arguments.rows_per_token, sizeof(BlockScratch<float>)), arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
