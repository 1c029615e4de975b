// Kernels that take a row at a time and reduce at most a maximum: embedding, row selection, and activations on their
// way to the types that are multiplied.

#include "gpu/kernels/dot_product.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/weight_code.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kThreads = 256;
constexpr int kUnit = 8;  ///< values of a narrowed row that a thread stores at once
constexpr float kF16Max = 65504.0F;

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

/// max|x[i]| by the whole block, which has a BlockScratch<float>; NaN wins over every number.
SS_DEVICE float largest_magnitude(const float* x, int n_cols) {
  auto& scratch = shared_memory<BlockScratch<float>>();
  const auto worst = [](float p, float q) { return p > q || p != p ? p : q; };
  float largest = 0.0F;
  for (int i = thread_x(); i < n_cols; i += kThreads) largest = worst(fabsf(x[i]), largest);
  return reduce_block(largest, scratch, worst);
}

SS_KERNEL(kThreads) quantize_rows_kernel(QuantizeRowsArguments a) {
  const int row = block_x();
  if (row >= *a.n_tokens * a.rows_per_token) return;
  const float* const x = a.x + std::int64_t{row} * a.n_cols;
  const float scale = largest_magnitude(x, a.n_cols) / 127.0F;
  if (thread_x() == 0) a.scales[row] = scale;
  const bool usable = scale > 0.0F && scale * 0.0F == 0.0F;  // with 0, infinity or NaN the scale alone says it all
  for (int i = thread_x(); i < a.padded_cols; i += kThreads) {
    float q = 0.0F;
    if (usable && i < a.n_cols) q = fminf(fmaxf(rintf(x[i] / scale), -127.0F), 127.0F);
    a.q[std::int64_t{row} * a.padded_cols + i] = static_cast<std::int8_t>(q);
  }
}

/// The nearest FP16; a NaN stays one.
SS_DEVICE std::uint32_t f16_bits(float value) {
#if defined(SS_GPU_CUDA)
  std::uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
#elif defined(SS_GPU_HIP)
  return bits_as<std::uint16_t>(static_cast<_Float16>(value));
#else
  return to_f16(value).bits;
#endif
}

/// The power of two that brings `largest` into FP16's range; 1 when it is there, or is no number.
SS_DEVICE float scale_into_f16(float largest) {
  if (!(largest > kF16Max) || !(largest * 0.0F == 0.0F)) return 1.0F;
  float scale = 1.0F;
  while (largest / scale > kF16Max) scale *= 2.0F;
  return scale;
}

template <bool kToF16>
SS_KERNEL(kThreads)
narrow_rows_kernel(NarrowRowsArguments a) {
  const int row = block_x();
  if (row >= *a.n_tokens * a.rows_per_token) return;
  const float* const x = a.x + std::int64_t{row} * a.n_cols;
  [[maybe_unused]] float factor = 1.0F;
  if constexpr (kToF16) {
    const float scale = scale_into_f16(largest_magnitude(x, a.n_cols));
    if (thread_x() == 0) a.scales[row] = scale;
    factor = 1.0F / scale;
  }
  for (int unit = thread_x(); unit * kUnit < a.padded_cols; unit += kThreads) {
    float values[kUnit];
    load_activations<kUnit>(x, unit * kUnit, a.n_cols, a.n_cols % 4 == 0, values);
    Chunk chunk;
    if constexpr (kToF16) {
      SS_UNROLL
      for (int i = 0; i < kUnit / 2; ++i) {
        chunk.word[i] = f16_bits(factor * values[2 * i]) | f16_bits(factor * values[2 * i + 1]) << 16;
      }
    } else {
      chunk = narrow_unit(values);
    }
    store_chunk(a.out + std::int64_t{row} * a.padded_cols + unit * kUnit, chunk);
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

Result<void> launch_narrow_rows(const LaunchContext& context, const NarrowRowsArguments& arguments) {
  const std::int32_t max_rows = arguments.max_tokens * arguments.rows_per_token;
  if (arguments.scales == nullptr) {
    return launch(context.stream, "narrow_rows", narrow_rows_kernel<false>, a_block_each(max_rows), arguments);
  }
  return launch(context.stream, "narrow_rows", narrow_rows_kernel<true>,
                a_block_each(max_rows, sizeof(BlockScratch<float>)), arguments);
}

Result<void> launch_quantize_rows(const LaunchContext& context, const QuantizeRowsArguments& arguments) {
  return launch(context.stream, "quantize_rows", quantize_rows_kernel,
                a_block_each(arguments.max_tokens * arguments.rows_per_token, sizeof(BlockScratch<float>)), arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
