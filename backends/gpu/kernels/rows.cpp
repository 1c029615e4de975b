// Kernels that copy or convert rows: embedding, selection of rows and of columns, and rounding activations to the type that a product
// multiplies. They launch one block per row, except for rounding to BF16, where a block takes vectors of several rows.
//
//   embed:          out[t] = scale * table[id of t]
//   select_rows:    out[r] = x[rows[r]]
//   select_columns: out[r, c] = x[r, columns[c]], or where each of a token's experts has columns of its own
//                   out[t, j, c] = x[t, columns[expert[t, j], c]], with a row of x for each expert x[t, j, columns[expert[t, j], c]]
//   quantize_rows:  q[r] = clamp(round-half-even(x[r] / s), -127, 127), where scales[r] = s is max|x[r]| / 127; or with the static scale
//                   as s, bounded to [-128, 127]
//   narrow_rows:    out[r] = bf16(x[r]), or f16(x[r] / scales[r]) with the smallest power of two that avoids overflow, or with
//     kE4m3            e4m3(x[r] / s) as BF16, where scales[r] = s is max|x[r]| / 448 or the static scale;
//     kE4m3Groups      the same with an s for every 128 columns; kE4m3GroupsE8m0 rounds it up to a power of two, 2^-126 at least;
//     kNvfp4           s * e2m1(x / (s g)) as BF16, where s = e4m3(max|x| / 6 / g) for every 16 columns; scales[r] = g is the static scale
//
// Shapes       table: [vocab_size, n_cols]; x: [rows, n_cols], of narrow_rows with x_stride values from one row to the next; columns:
//              [columns of out], or [experts, columns of out], each in [0, n_cols); q and narrowed out: [rows, padded_cols], zero
//              beyond n_cols; scales: [rows], or [rows, groups of 128 columns]
// Dtypes       x, scales: f32; table: any weight encoding; q: int8; narrowed out: BF16 or FP16
// Accumulator  none but the maximum of |x|, in f32; NaN wins over every number
// Aliasing     none: outputs are separate buffers
// Alignment    narrowed out to 16 bytes; x is read 16 bytes at a time where its rows begin at multiples of them
// Source       op.h's ActQuant for the rules of int8, E4M3 and NVFP4

#include "core/checked.h"
#include "gpu/kernels/divide.h"
#include "gpu/kernels/dot_product.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/weight_code.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kThreads = 256;
constexpr int kVecValues = 8;  ///< 16-bit values of one 16-byte store
constexpr float kF16Max = 65504.0F;
constexpr float kE4m3Largest = 448.0F;
constexpr float kE2m1Largest = 6.0F;

SS_KERNEL(kThreads) embed_kernel(EmbedArguments a) {
  wait_for_earlier_kernels();
  const int token = block_x();
  if (token >= *a.batch.n_tokens) return;
  int id = a.batch.token_ids[token];
  if (id < 0) {
    const int slot = a.batch.token_slots[token];
    id = slot < 0 ? 0 : a.last_sampled[slot];  // padding tokens embed id 0, so that they stay finite
  }
  for (int col = thread_x(); col < a.table.n_cols; col += kThreads) {
    a.out[std::int64_t{token} * a.table.n_cols + col] = a.scale * weight_value(a.table, id, col);
  }
}

SS_KERNEL(kThreads) select_rows_kernel(SelectRowsArguments a) {
  wait_for_earlier_kernels();
  const int row = block_x();
  if (row >= *a.n_rows) return;
  const float* const from = a.x + std::int64_t{a.rows[row]} * a.n_cols;
  for (int col = thread_x(); col < a.n_cols; col += kThreads) a.out[std::int64_t{row} * a.n_cols + col] = from[col];
}

SS_KERNEL(kThreads) select_columns_kernel(SelectColumnsArguments a) {
  wait_for_earlier_kernels();
  const int row = block_x();
  if (row >= *a.n_tokens * a.rows_per_token) return;
  const float* const from = a.x + std::int64_t{divide(row, a.by_rows_per_x)} * a.x_cols;
  const std::int32_t* const columns = a.columns + (a.expert == nullptr ? 0 : std::int64_t{a.expert[row]} * a.out_cols);
  float* const to = a.out + std::int64_t{row} * a.out_cols;
  for (int col = thread_x(); col < a.out_cols; col += kThreads) to[col] = from[columns[col]];
}

/// The larger of two numbers; NaN is the largest.
SS_DEVICE float worst(float p, float q) {
  return p > q || p != p ? p : q;
}

/// max|x[i]|, computed by the whole block, whose shared memory is a BlockScratch<float>. NaN wins over every number.
SS_DEVICE float max_abs(const float* x, int n_cols) {
  auto& scratch = shared_memory<BlockScratch<float>>();
  float row_max = 0.0F;
  for (int i = thread_x(); i < n_cols; i += kThreads) row_max = worst(fabsf(x[i]), row_max);
  return reduce_block(row_max, scratch, [](float p, float q) { return worst(p, q); });
}

/// Whether values can be divided by the scale of their row; else q is 0, and the scale, which is 0, infinity or NaN, decides the product.
SS_DEVICE bool is_usable_scale(float scale) {
  return scale > 0.0F && scale * 0.0F == 0.0F;
}

SS_KERNEL(kThreads) quantize_rows_kernel(QuantizeRowsArguments a) {
  wait_for_earlier_kernels();
  const int row = block_x();
  if (row >= *a.n_tokens * a.rows_per_token) return;
  const float* const x = a.x + std::int64_t{row} * a.n_cols;
  const bool is_static = a.static_scale > 0.0F;
  float scale = max_abs(x, a.n_cols) / 127.0F;
  if (is_static) scale = scale * 0.0F + a.static_scale;  // NaN if the row is not finite
  if (thread_x() == 0) a.scales[row] = scale;
  const bool usable = is_usable_scale(scale);
  const float least = is_static ? -128.0F : -127.0F;
  for (int i = thread_x(); i < a.padded_cols; i += kThreads) {
    float q = 0.0F;
    if (usable && i < a.n_cols) q = fminf(fmaxf(rintf(x[i] / scale), least), 127.0F);
    a.q[std::int64_t{row} * a.padded_cols + i] = static_cast<std::int8_t>(q);
  }
}

/// Rounds to the nearest FP16; NaN stays NaN.
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

/// The smallest power of two >= 1 with row_max / scale within FP16's range; 1 if `row_max` is infinite or NaN.
SS_DEVICE float scale_into_f16(float row_max) {
  if (!(row_max > kF16Max) || !(row_max * 0.0F == 0.0F)) return 1.0F;
  float scale = 1.0F;
  while (row_max / scale > kF16Max) scale *= 2.0F;
  return scale;
}

template <NarrowTo kTo>
SS_KERNEL(kThreads)
narrow_rows_kernel(NarrowRowsArguments a) {
  wait_for_earlier_kernels();
  const int row = block_x();
  if (row >= *a.n_tokens * a.rows_per_token) return;
  const float* const x = a.x + std::int64_t{row} * a.x_stride;
  [[maybe_unused]] float factor = 1.0F;
  [[maybe_unused]] float divisor = 1.0F;
  [[maybe_unused]] bool usable = true;
  if constexpr (kTo == NarrowTo::kF16) {
    const float scale = scale_into_f16(max_abs(x, a.n_cols));
    if (thread_x() == 0) a.scales[row] = scale;
    factor = 1.0F / scale;
  }
  if constexpr (kTo == NarrowTo::kE4m3) {
    divisor = max_abs(x, a.n_cols) / kE4m3Largest;
    if (a.static_scale > 0.0F) divisor = divisor * 0.0F + a.static_scale;  // NaN if the row is not finite
    if (thread_x() == 0) a.scales[row] = divisor;
    usable = is_usable_scale(divisor);
  }
  for (int vec = thread_x(); vec * kVecValues < a.padded_cols; vec += kThreads) {
    float values[kVecValues];
    load_activations<kVecValues>(x, vec * kVecValues, a.n_cols, a.x_stride % 4 == 0, values);
    Chunk chunk;
    if constexpr (kTo == NarrowTo::kE4m3) {
      SS_UNROLL
      for (int i = 0; i < kVecValues; ++i) values[i] = usable ? nearest_e4m3(values[i] / divisor) : 0.0F;
    }
    if constexpr (kTo == NarrowTo::kF16) {
      SS_UNROLL
      for (int i = 0; i < kVecValues / 2; ++i) {
        chunk.word[i] = f16_bits(factor * values[2 * i]) | f16_bits(factor * values[2 * i + 1]) << 16;
      }
    } else {
      chunk = narrow_vec(values);
    }
    store_chunk(a.out + std::int64_t{row} * a.padded_cols + vec * kVecValues, chunk);
  }
}

/// narrow_rows with NarrowTo::kBf16, which needs nothing of a row as a whole: a thread takes one vector, and a block those of several rows.
SS_KERNEL(kThreads) narrow_vecs_kernel(NarrowRowsArguments a) {
  wait_for_earlier_kernels();
  const int index = block_x() * kThreads + thread_x();
  const int row = divide(index, a.by_vecs);
  if (row >= *a.n_tokens * a.rows_per_token) return;
  const int col = (index - row * (a.padded_cols / kVecValues)) * kVecValues;
  float values[kVecValues];
  load_activations<kVecValues>(a.x + std::int64_t{row} * a.x_stride, col, a.n_cols, a.x_stride % 4 == 0, values);
  store_chunk(a.out + std::int64_t{row} * a.padded_cols + col, narrow_vec(values));
}

/// The smallest power of two that is not below `value` and is no subnormal number; 0, infinity and NaN stay what they are.
SS_DEVICE float power_not_below(float value) {
  const auto bits = bits_as<std::uint32_t>(value);
  if (bits >= 0x7f800000U) return value;
  return bits_as<float>((bits + 0x007fffffU) & 0x7f800000U);  // carries unless the fraction is 0
}

/// narrow_rows with NarrowTo::kE4m3Groups or kE4m3GroupsE8m0.
template <NarrowTo kTo>
SS_KERNEL(kThreads)
narrow_groups_kernel(NarrowRowsArguments a) {
  wait_for_earlier_kernels();
  constexpr int kLanes = static_cast<int>(kFp8GroupSize) / kVecValues;  // of a group
  static_assert(kWarpSize % kLanes == 0);
  const int row = block_x();
  if (row >= *a.n_tokens * a.rows_per_token) return;
  const float* const x = a.x + std::int64_t{row} * a.x_stride;
  float* const scales = a.scales + std::int64_t{row} * n_wide_groups_on_device(a.n_cols);
  for (int first = 0; first * kVecValues < a.padded_cols; first += kThreads) {  // every lane takes part in the shuffles
    const int vec = first + thread_x();
    float values[kVecValues];
    load_activations<kVecValues>(x, vec * kVecValues, a.n_cols, a.x_stride % 4 == 0, values);
    float largest = 0.0F;
    SS_UNROLL
    for (int i = 0; i < kVecValues; ++i) largest = worst(fabsf(values[i]), largest);
    SS_UNROLL
    for (int mask = kLanes / 2; mask > 0; mask /= 2) largest = worst(shuffle_xor(largest, mask), largest);
    float scale = largest / kE4m3Largest;
    if constexpr (kTo == NarrowTo::kE4m3GroupsE8m0) scale = power_not_below(scale);
    if (vec % kLanes == 0 && vec * kVecValues < a.n_cols) scales[vec / kLanes] = scale;
    const bool usable = is_usable_scale(scale);
    SS_UNROLL
    for (int i = 0; i < kVecValues; ++i) values[i] = usable ? nearest_e4m3(values[i] / scale) : 0.0F;
    if (vec * kVecValues >= a.padded_cols) continue;
    store_chunk(a.out + std::int64_t{row} * a.padded_cols + vec * kVecValues, narrow_vec(values));
  }
}

/// narrow_rows with NarrowTo::kNvfp4. A thread takes the 16 columns that share a scale.
SS_KERNEL(kThreads) narrow_nvfp4_kernel(NarrowRowsArguments a) {
  wait_for_earlier_kernels();
  constexpr int kColumns = static_cast<int>(kNvfp4GroupSize);
  const int row = block_x();
  if (row >= *a.n_tokens * a.rows_per_token) return;
  const float* const x = a.x + std::int64_t{row} * a.x_stride;
  const float stored_scale = max_abs(x, a.n_cols) * 0.0F + a.static_scale;  // NaN if the row is not finite
  if (thread_x() == 0) a.scales[row] = stored_scale;
  const bool usable = is_usable_scale(stored_scale);
  for (int group = thread_x(); group * kColumns < a.padded_cols; group += kThreads) {
    float values[kColumns];
    load_activations<kColumns>(x, group * kColumns, a.n_cols, a.x_stride % 4 == 0, values);
    float largest = 0.0F;
    SS_UNROLL
    for (int i = 0; i < kColumns; ++i) largest = fmaxf(fabsf(values[i]), largest);
    const float scale = usable ? nearest_e4m3(largest / kE2m1Largest / stored_scale) : 0.0F;
    const float step = scale * stored_scale;
    SS_UNROLL
    for (int i = 0; i < kColumns; ++i) values[i] = scale > 0.0F ? scale * nearest_e2m1(values[i] / step) : 0.0F;
    std::uint16_t* const out = a.out + std::int64_t{row} * a.padded_cols + group * kColumns;
    store_chunk(out, narrow_vec(values));
    store_chunk(out + kVecValues, narrow_vec(values + kVecValues));
  }
}

/// One block per row.
LaunchShape one_block_per_row(std::int32_t n_rows, std::size_t shared_bytes = 0) {
  return {.grid = {static_cast<std::uint32_t>(n_rows)}, .threads = kThreads, .shared_bytes = shared_bytes};
}

}  // namespace

Result<void> launch_embed(const LaunchContext& context, const EmbedArguments& arguments) {
  return launch(context.stream, "embed", embed_kernel, one_block_per_row(arguments.max_rows), arguments);
}

Result<void> launch_select_rows(const LaunchContext& context, const SelectRowsArguments& arguments) {
  return launch(context.stream, "select_rows", select_rows_kernel, one_block_per_row(arguments.max_rows), arguments);
}

Result<void> launch_select_columns(const LaunchContext& context, const SelectColumnsArguments& arguments) {
  return launch(context.stream, "select_columns", select_columns_kernel,
                one_block_per_row(arguments.max_tokens * arguments.rows_per_token), arguments);
}

Result<void> launch_narrow_rows(const LaunchContext& context, const NarrowRowsArguments& arguments) {
  const std::int32_t max_rows = arguments.max_tokens * arguments.rows_per_token;
  switch (arguments.to) {
    case NarrowTo::kBf16:
      return launch(
          context.stream, "narrow_rows", narrow_vecs_kernel,
          {.grid = {static_cast<std::uint32_t>(ceil_divide(max_rows * (arguments.padded_cols / kVecValues), kThreads))},
           .threads = kThreads},
          arguments);
    case NarrowTo::kF16:
      return launch(context.stream, "narrow_rows", narrow_rows_kernel<NarrowTo::kF16>,
                    one_block_per_row(max_rows, sizeof(BlockScratch<float>)), arguments);
    case NarrowTo::kE4m3Groups:
      return launch(context.stream, "narrow_rows", narrow_groups_kernel<NarrowTo::kE4m3Groups>,
                    one_block_per_row(max_rows), arguments);
    case NarrowTo::kE4m3GroupsE8m0:
      return launch(context.stream, "narrow_rows", narrow_groups_kernel<NarrowTo::kE4m3GroupsE8m0>,
                    one_block_per_row(max_rows), arguments);
    case NarrowTo::kNvfp4:
      return launch(context.stream, "narrow_rows", narrow_nvfp4_kernel,
                    one_block_per_row(max_rows, sizeof(BlockScratch<float>)), arguments);
    case NarrowTo::kE4m3:
      break;
  }
  return launch(context.stream, "narrow_rows", narrow_rows_kernel<NarrowTo::kE4m3>,
                one_block_per_row(max_rows, sizeof(BlockScratch<float>)), arguments);
}

Result<void> launch_quantize_rows(const LaunchContext& context, const QuantizeRowsArguments& arguments) {
  return launch(context.stream, "quantize_rows", quantize_rows_kernel,
                one_block_per_row(arguments.max_tokens * arguments.rows_per_token, sizeof(BlockScratch<float>)),
                arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
