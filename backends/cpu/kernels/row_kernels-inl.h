#pragma once
// The kernels around the matmuls, row by row: packing and quantizing activations, epilogues, RMSNorm, RoPE. Their
// formulas, shapes and aliasing are at PackArgs, FinishArgs and KernelTable (kernel_table.h). All read and write f32 from
// and to any 4-byte aligned address, and no byte outside their arguments.

#include "cpu/kernels/math-inl.h"
#include "cpu/kernels/simd-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

inline std::int64_t smaller(std::int64_t x, std::int64_t y) {
  return x < y ? x : y;
}

/// Loads min(n, 16) values; the other lanes are zero.
inline F32 load_some(const float* p, std::int64_t n) {
  if (n >= 16) return load(p);
  float values[16] = {};
  __builtin_memcpy(values, p, static_cast<std::size_t>(n) * sizeof(float));
  return load(values);
}
inline void store_some(float* p, const F32& x, std::int64_t n) {
  if (n >= 16) return store(p, x);
  float values[16];
  store(values, x);
  __builtin_memcpy(p, values, static_cast<std::size_t>(n) * sizeof(float));
}

/// max_i |x[i]|, or NaN when any x[i] is not finite, which the maximum of vector registers alone would lose.
inline float abs_max(const float* x, std::int64_t n) {
  F32 lane_max = zero();
  F32 poison = zero();
  for (std::int64_t i = 0; i < n; i += 16) {
    const F32 values = load_some(x + i, n - i);
    lane_max = max(lane_max, absolute(values));
    poison = fma(values, zero(), poison);  // 0 * x is 0, or NaN
  }
  return reduce_max(lane_max) + reduce_add(poison);
}

/// Returns the unit u in which values become whole numbers or first digits x / u, so that the largest magnitude of the values, `largest`,
/// becomes `largest_number`. The unit is NaN if `largest` is NaN, and otherwise at least `least`, whose reciprocal is finite in f32.
inline float unit_of(float largest, float largest_number, float least = 0x1p-120F) {
  const float unit = largest / largest_number;
  return unit < least ? least : unit;
}

/// The least unit of a first digit. The units of the digits behind it are smaller, and their reciprocals are still finite in f32.
inline constexpr float kLeastDigitUnit = 0x1p-100F;

/// The least integer of a row that is quantized with a scale of its own, and of one with a stored scale.
inline constexpr float kLeastOfOwnScale = -127.0F;
inline constexpr float kLeastOfStoredScale = -128.0F;

/// q = clamp(round-half-even(x / s), least, 127) as whole floats; 0 where s is 0 or NaN.
inline F32 quantized(const F32& x, float scale, float least = kLeastOfOwnScale) {
  if (!(scale > 0.0F)) return zero();
  // A division would take more time than all the rest, so x is multiplied by the reciprocal of s. Unless both are beyond the bounds, this
  // product differs from the quotient by less than 2^-15. So both are rounded to the same integer unless the product is within 2^-14 of the
  // middle of two integers; only then x is divided. The reciprocal of a subnormal scale may be infinite.
  constexpr float kLeastNormal = 0x1p-126F;
  const F32 product = mul(x, broadcast(1.0F / scale));
  F32 rounded = round_even(product);
  if (scale < kLeastNormal || any_above(absolute(sub(product, rounded)), 0.5F - 0x1p-14F)) {
    rounded = round_even(divide(x, broadcast(scale)));
  }
  return min(broadcast(127.0F), max(broadcast(least), rounded));
}

/// q = x / s rounded to E4M3, half to even, at most 448; 0 where s is 0 or NaN.
inline F32 e4m3_quantized(const F32& x, float scale) {
  if (!(scale > 0.0F)) return zero();
  const F32 ratio = min(broadcast(448.0F), max(broadcast(-448.0F), divide(x, broadcast(scale))));
  // `room` is 1.5 * 2^20 times the power of two at or below |ratio|. When it is added, an f32 has room for three bits of the ratio after
  // its first, so that the addition rounds to E4M3. Below 2^-6 the last place stays 2^-9.
  const F32 room = mul(max(power_below(ratio), broadcast(0x1p-6F)), broadcast(0x1.8p20F));
  return sub(add(ratio, room), room);
}

/// 16 columns quantized to NVFP4 with the stored scale g: s * q, where s = (max|x| / 6) / g rounded to E4M3, and q = x / (s g) rounded to
/// E2M1, half to even, at most 6; 0 where s is 0, and where g is NaN.
inline F32 nvfp4_quantized(const F32& x, float stored_scale) {
  const float largest = reduce_max(absolute(x));
  const F32 scale = e4m3_quantized(broadcast(largest / 6.0F), stored_scale);
  if (!(reduce_max(scale) > 0.0F)) return zero();
  const F32 step = mul(scale, broadcast(stored_scale));
  const F32 ratio = min(broadcast(6.0F), max(broadcast(-6.0F), divide(x, step)));
  // As in e4m3_quantized(), with room for one bit after the first; below 1 the last place stays 0.5.
  const F32 room = mul(max(power_below(ratio), broadcast(1.0F)), broadcast(0x1.8p22F));
  return mul(scale, sub(add(ratio, room), room));
}

inline void row_to_bf16(const float* x, std::int64_t n, std::uint16_t* out) {
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16) store_bf16(out + i, load(x + i));
  if (i == n) return;
  std::uint16_t rest[16];
  store_bf16(rest, load_some(x + i, n - i));
  __builtin_memcpy(out + i, rest, static_cast<std::size_t>(n - i) * sizeof(std::uint16_t));
}

/// Stores 16 activations in the element type `act`. `scale`: s of the row or of the group, read for quantized types only; `least`: the
/// least whole number, read for integers.
inline void store_activations(const F32& x, ActType act, float scale, float least, std::byte* out) {
  if (act == ActType::kF32) return store(reinterpret_cast<float*>(out), x);
  if (act == ActType::kBf16) return store_bf16(reinterpret_cast<std::uint16_t*>(out), x);
  if (act == ActType::kE4m3InF32) return store(reinterpret_cast<float*>(out), e4m3_quantized(x, scale));
  if (has_e4m3_groups(act)) {
    return store(reinterpret_cast<float*>(out), mul(e4m3_quantized(x, scale), broadcast(scale)));
  }
  if (act == ActType::kE4m3InBf16) {
    return store_bf16(reinterpret_cast<std::uint16_t*>(out), e4m3_quantized(x, scale));
  }
  if (act == ActType::kNvfp4InF32) return store(reinterpret_cast<float*>(out), nvfp4_quantized(x, scale));
  if (act == ActType::kNvfp4InBf16) {
    return store_bf16(reinterpret_cast<std::uint16_t*>(out), nvfp4_quantized(x, scale));
  }
  if (act == ActType::kI8InBf16) return store_bf16(reinterpret_cast<std::uint16_t*>(out), quantized(x, scale, least));
  const I32 q = to_i32(quantized(x, scale, least));
  if (act == ActType::kI16) return store_words<false>(out, q);
  if (act == ActType::kI16Nibbles) return store_words<true>(out, q);
  const I32 biased = add_i32(q, to_i32(broadcast(128.0F)));
  if (act == ActType::kU8) return store_bytes<false>(out, biased);
  store_bytes<true>(out, biased);
}

/// Scatters the vecs of one row to their places between those of the other rows: out[i * stride_bytes] = vecs[i].
template <int kVecBytes>
inline void interleave_vecs(const std::byte* vecs, std::int64_t n_vecs, std::int64_t stride_bytes, std::byte* out) {
#pragma GCC unroll 8
  for (std::int64_t i = 0; i < n_vecs; ++i) {
    __builtin_memcpy(out + i * stride_bytes, vecs + i * kVecBytes, kVecBytes);
  }
}

inline void interleave(const std::byte* vecs, std::int64_t n_bytes, std::int64_t vec_bytes, int n_rows,
                       std::byte* out) {
  const std::int64_t stride_bytes = n_rows * vec_bytes;
  switch (vec_bytes) {
    case 4:
      return interleave_vecs<4>(vecs, n_bytes / 4, stride_bytes, out);
    case 8:
      return interleave_vecs<8>(vecs, n_bytes / 8, stride_bytes, out);
    case 16:
      return interleave_vecs<16>(vecs, n_bytes / 16, stride_bytes, out);
    default:
      return interleave_vecs<64>(vecs, n_bytes / 64, stride_bytes, out);
  }
}

/// Columns that are packed for all rows before the next columns: a multiple of every kernel's vec, and few enough that
/// their output stays in the first-level cache until every row has written its part of each line.
inline constexpr std::int64_t kPackColumns = 64;

static_assert(kFp8GroupColumns % kPackColumns == 0, "columns that are packed together are of one group");

/// The smallest power of two that is not below s and not subnormal; 0 and NaN are returned unchanged.
inline float power_not_below(float s) {
  if (!(s > 0.0F)) return s;
  unsigned bits;
  __builtin_memcpy(&bits, &s, sizeof bits);
  bits = (bits + 0x007fffffU) & 0x7f800000U;  // carries unless the fraction is 0
  __builtin_memcpy(&s, &bits, sizeof bits);
  return s;
}

/// s of the group of row m that column k is in; NaN if a value of the group is not finite, 0 after the last column.
inline float scale_of_group(const PackArgs& args, int m, std::int64_t k) {
  const std::int64_t first = k / kFp8GroupColumns * kFp8GroupColumns;
  if (first >= args.k) return 0.0F;
  const float scale = abs_max(args.x + m * args.x_stride + first, smaller(kFp8GroupColumns, args.k - first)) / 448.0F;
  return args.act == ActType::kE4m3GroupsE8m0 ? power_not_below(scale) : scale;
}

/// s = max|x| / 127 of a row, or / 448 for E4M3, or the static scale. A row that is not finite has s = NaN, which makes its outputs NaN.
inline float quantization_scale(const PackArgs& args, int m) {
  const bool is_e4m3 = args.act == ActType::kE4m3InF32 || args.act == ActType::kE4m3InBf16;
  const float largest = abs_max(args.x + m * args.x_stride, args.k);
  if (args.static_scale > 0.0F) return largest * 0.0F + args.static_scale;
  return largest / (is_e4m3 ? 448.0F : 127.0F);
}

inline float least_integer(const PackArgs& args) {
  return args.static_scale > 0.0F ? kLeastOfStoredScale : kLeastOfOwnScale;
}

/// Packs rows one after the other where a vec fills a cache line, so that no line is shared by rows. A row is then read from memory once.
/// Taking the same columns of several rows in turn is slower, because their lines may fall into few sets of the first-level cache.
template <ActType kAct>
void pack_lines(const PackArgs& args) {
  constexpr std::int64_t kValueBytes = act_bytes(kAct);
  constexpr std::int64_t kColumns = 64 / kValueBytes;
  for (int m = 0; m < args.n_rows; ++m) {
    const float* const x = args.x + m * args.x_stride;
    float scale = 0.0F;
    if constexpr (has_row_scale(kAct)) scale = args.row_scales[m] = quantization_scale(args, m);
    auto* out = static_cast<std::byte*>(args.out) + m * 64;
    for (std::int64_t k = 0; k < args.k_padded; k += kColumns, out += std::int64_t{args.n_rows} * 64) {
#pragma GCC unroll 4
      for (std::int64_t i = 0; i < kColumns; i += 16) {
        const F32 values = k + i < args.k ? load_some(x + k + i, args.k - k - i) : zero();
        store_activations(values, kAct, scale, least_integer(args), out + i * kValueBytes);
      }
    }
  }
}

inline void pack_rows(const PackArgs& args) {
  if (args.vec * act_bytes(args.act) == 64) {
    if (args.act == ActType::kBf16) return pack_lines<ActType::kBf16>(args);
    if (args.act == ActType::kE4m3InBf16) return pack_lines<ActType::kE4m3InBf16>(args);
    if (args.act == ActType::kNvfp4InBf16) return pack_lines<ActType::kNvfp4InBf16>(args);
    if (args.act == ActType::kI8InBf16) return pack_lines<ActType::kI8InBf16>(args);
    if (args.act == ActType::kU8) return pack_lines<ActType::kU8>(args);
  }
  const bool has_scale = has_row_scale(args.act);
  for (int m = 0; m < args.n_rows && has_scale; ++m) args.row_scales[m] = quantization_scale(args, m);
  const std::int64_t value_bytes = act_bytes(args.act);
  const std::int64_t vec_bytes = args.vec * value_bytes;
  auto* out = static_cast<std::byte*>(args.out);
  for (std::int64_t k = 0; k < args.k_padded; k += kPackColumns) {
    const std::int64_t n_columns = smaller(kPackColumns, args.k_padded - k);
    // With a single row, vecs need not be interleaved, so they are written to their place at once.
    const bool in_place = args.n_rows == 1 && n_columns % 16 == 0;
    for (int m = 0; m < args.n_rows; ++m) {
      const float* x = args.x + m * args.x_stride;
      alignas(64) std::byte apart[kPackColumns * sizeof(float)];
      std::byte* const vecs = in_place ? out : apart;
      float scale = has_scale ? args.row_scales[m] : 0.0F;
      if (has_e4m3_groups(args.act)) scale = scale_of_group(args, m, k);
      for (std::int64_t i = 0; i < n_columns; i += 16) {
        prefetch(x + k + i + 2 * kPackColumns);
        const F32 values = k + i < args.k ? load_some(x + k + i, args.k - k - i) : zero();
        store_activations(values, args.act, scale, least_integer(args), vecs + i * value_bytes);
      }
      if (!in_place) interleave(vecs, n_columns * value_bytes, vec_bytes, args.n_rows, out + m * vec_bytes);
    }
    out += n_columns * args.n_rows * value_bytes;
  }
}

inline bool is_line_aligned(const float* p) {
  constexpr unsigned kLine = 64;
  return reinterpret_cast<unsigned long>(p) % kLine == 0;
}

/// y of 16 sums of row m, before the epilogue. Without scales, they are the sums themselves.
template <bool kScaled>
inline F32 scaled_tile(const FinishArgs& args, int m, std::int64_t tile) {
  F32 value = load(args.c + m * args.c_stride + tile * kTileRows);
  if constexpr (kScaled) {
    if (args.weight_scales != nullptr) value = mul(value, load(args.weight_scales + tile * kTileRows));
    if (args.row_scales != nullptr) value = mul(value, broadcast(args.row_scales[m]));
  }
  return value;
}

/// The outputs of row m from `column` on, of which min(left, 16) are in the row. With kCapped the soft cap is looked at.
template <Finish kFinish, bool kScaled, bool kCapped>
inline F32 finished_tile(const FinishArgs& args, int m, std::int64_t column, std::int64_t left) {
  constexpr bool kGated = kFinish >= Finish::kGatedSilu;
  const std::int64_t tile = column / kTileRows;
  F32 value = scaled_tile<kScaled>(args, m, kGated ? 2 * tile : tile);
  if constexpr (kGated) {
    F32 up = scaled_tile<kScaled>(args, m, 2 * tile + 1);
    if (args.bias != nullptr) {
      value = add(value, load_some(args.bias + column, left));
      up = add(up, load_some(args.up_bias + column, left));
    }
    if constexpr (kFinish == Finish::kGatedClampedSwish) {
      value = clamped_swish(value, up);
    } else {
      value = mul(kFinish == Finish::kGatedSilu ? silu(value) : gelu(value), up);
    }
  } else if constexpr (kFinish == Finish::kBias) {
    value = add(value, load_some(args.bias + column, left));
  } else if constexpr (kFinish == Finish::kGelu) {
    if (args.bias != nullptr) value = add(value, load_some(args.bias + column, left));
    value = gelu(value);
  } else if constexpr (kFinish == Finish::kAdd) {
    value = add(value, load_some(args.aux + m * args.aux_stride + column, left));
  }
  return kCapped ? soft_cap(value, args.softcap) : value;
}

/// The loops for one kind of epilogue. What does not change from tile to tile is decided outside: in AMX tiles two tiles of a row are
/// finished at once, and with all decisions in the inner loop 16 sums took 16 cycles.
template <Finish kFinish, bool kScaled, bool kCapped>
void finish_rows_as(const FinishArgs& args) {
  for (int m = 0; m < args.n_rows; ++m) {
    float* const out = args.out + m * args.out_stride;
    const bool past_caches = args.past_caches && is_line_aligned(out);
    std::int64_t column = 0;
    for (; column + kTileRows <= args.n_cols; column += kTileRows) {
      const F32 value = finished_tile<kFinish, kScaled, kCapped>(args, m, column, kTileRows);
      if (past_caches) {
        store_past_caches(out + column, value);
      } else {
        store(out + column, value);
      }
    }
    if (column == args.n_cols) continue;
    const std::int64_t left = args.n_cols - column;
    store_some(out + column, finished_tile<kFinish, kScaled, kCapped>(args, m, column, left), left);
  }
}

template <Finish kFinish>
inline void finish_rows_of(const FinishArgs& args) {
  if (args.softcap > 0.0F) return finish_rows_as<kFinish, true, true>(args);
  if (args.weight_scales != nullptr || args.row_scales != nullptr) return finish_rows_as<kFinish, true, false>(args);
  finish_rows_as<kFinish, false, false>(args);
}

inline void finish_rows(const FinishArgs& args) {
  switch (args.finish) {
    case Finish::kNone:
      return finish_rows_of<Finish::kNone>(args);
    case Finish::kBias:
      return finish_rows_of<Finish::kBias>(args);
    case Finish::kAdd:
      return finish_rows_of<Finish::kAdd>(args);
    case Finish::kGelu:
      return finish_rows_of<Finish::kGelu>(args);
    case Finish::kGatedSilu:
      return finish_rows_of<Finish::kGatedSilu>(args);
    case Finish::kGatedGelu:
      return finish_rows_of<Finish::kGatedGelu>(args);
    case Finish::kGatedClampedSwish:
      return finish_rows_of<Finish::kGatedClampedSwish>(args);
  }
}

/// The rest of normalize_row() for a norm that centers. sum_out has been written already.
inline void center_row(const NormArgs& args) {
  const std::int64_t n = args.n;
  const auto summed = [&](std::int64_t i) {
    F32 value = load_some((args.sum_out != nullptr ? args.sum_out : args.x) + i, n - i);
    if (args.sum_out == nullptr && args.add != nullptr) value = add(value, load_some(args.add + i, n - i));
    return value;
  };
  F32 total = zero();
  for (std::int64_t i = 0; i < n; i += 16) total = add(total, summed(i));
  const float mean = reduce_add(total) / static_cast<float>(n);
  F32 squares = zero();
  for (std::int64_t i = 0; i < n; i += 16) {
    // The lanes after the end become zero, so that they do not count in the sum.
    float centered[16];
    store(centered, sub(summed(i), broadcast(mean)));
    const F32 difference = load_some(centered, n - i);
    squares = fma(difference, difference, squares);
  }
  const F32 factor = broadcast(1.0F / __builtin_sqrtf(reduce_add(squares) / static_cast<float>(n) + args.eps));
  for (std::int64_t i = 0; i < n; i += 16) {
    F32 normed = mul(mul(sub(summed(i), broadcast(mean)), factor), load_some(args.weight + i, n - i));
    if (args.bias != nullptr) normed = add(normed, load_some(args.bias + i, n - i));
    if (args.residual != nullptr) normed = add(load_some(args.residual + i, n - i), normed);
    store_some(args.out + i, normed, n - i);
  }
}

inline void normalize_row(const NormArgs& args) {
  const float* const x = args.x;
  const float* const other = args.add;
  float* const sum_out = args.sum_out;
  const std::int64_t n = args.n;
  F32 squares[2] = {zero(), zero()};
  int turn = 0;
  for (std::int64_t i = 0; i < n; i += 16, turn ^= 1) {
    F32 value = load_some(x + i, n - i);
    if (other != nullptr) value = add(value, load_some(other + i, n - i));
    if (sum_out != nullptr) store_some(sum_out + i, value, n - i);
    squares[turn] = fma(value, value, squares[turn]);
  }
  if (args.centers) return center_row(args);
  const float mean = reduce_add(add(squares[0], squares[1])) / static_cast<float>(n);
  const F32 factor = broadcast(1.0F / __builtin_sqrtf(mean + args.eps));
  for (std::int64_t i = 0; i < n; i += 16) {
    F32 value = load_some((sum_out != nullptr ? sum_out : x) + i, n - i);
    if (sum_out == nullptr && other != nullptr) value = add(value, load_some(other + i, n - i));
    F32 normed = mul(mul(value, factor), load_some(args.weight + i, n - i));
    if (args.residual != nullptr) normed = add(load_some(args.residual + i, n - i), normed);
    store_some(args.out + i, normed, n - i);
  }
}

inline void rotate_row(const float* x, const float* cos, const float* sin, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; i += 16) {
    const F32 c = load_some(cos + i, n - i);
    const F32 s = load_some(sin + i, n - i);
    const F32 low = load_some(x + i, n - i);
    const F32 high = load_some(x + n + i, n - i);
    store_some(out + i, sub(mul(low, c), mul(high, s)), n - i);
    store_some(out + n + i, fma(high, c, mul(low, s)), n - i);
  }
}

inline float dot_row(const float* x, const float* y, std::int64_t n) {
  F32 sum[2] = {zero(), zero()};
  int turn = 0;
  for (std::int64_t i = 0; i < n; i += 16, turn ^= 1) {
    sum[turn] = fma(load_some(x + i, n - i), load_some(y + i, n - i), sum[turn]);
  }
  return reduce_add(add(sum[0], sum[1]));
}

inline void scale_row(const float* x, float scale, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; i += 16) store_some(out + i, mul(load_some(x + i, n - i), broadcast(scale)), n - i);
}

}  // namespace secondsource::cpu::SS_CPU_ISA
