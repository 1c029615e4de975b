#pragma once
// Sixteen f32 or i32 lanes as four 16-byte vectors of the compiler's own vector extension: SSE2 on x86-64, NEON on Arm,
// plain code elsewhere.

#include "cpu/kernels/target-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

typedef float Float4 __attribute__((vector_size(16)));
typedef std::int32_t Int4x __attribute__((vector_size(16)));

struct F32 {
  Float4 a, b, c, d;
};
struct I32 {
  Int4x a, b, c, d;
};

inline constexpr int kRowBlock = 3;       // 12 accumulators of 16 registers
inline constexpr int kAccumulators = 3;   // that fit in registers beside operands
inline constexpr int kPairFromRows = 99;  // never two tiles at once

inline Float4 splat4(float x) {
  return Float4{x, x, x, x};
}
inline F32 broadcast(float x) {
  const Float4 v = splat4(x);
  return {v, v, v, v};
}
inline F32 zero() {
  return broadcast(0.0F);
}
inline F32 load(const float* p) {
  return read<F32>(p);
}
inline void store(float* p, const F32& x) {
  write(p, x);
}
/// A plain store: only the outputs of a BlockKernel are written past the caches, and this instruction set has none.
inline void store_past_caches(float* p, const F32& x) {
  store(p, x);
}
inline F32 add(const F32& x, const F32& y) {
  return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
}
inline F32 sub(const F32& x, const F32& y) {
  return {x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d};
}
inline F32 mul(const F32& x, const F32& y) {
  return {x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d};
}
inline F32 divide(const F32& x, const F32& y) {
  return {x.a / y.a, x.b / y.b, x.c / y.c, x.d / y.d};
}
inline F32 fma(const F32& x, const F32& y, const F32& z) {
  return {x.a * y.a + z.a, x.b * y.b + z.b, x.c * y.c + z.c, x.d * y.d + z.d};
}
// Returns the second operand when either is NaN, as the x86 instructions do.
inline Float4 max4(const Float4& x, const Float4& y) {
  return x > y ? x : y;
}
inline Float4 min4(const Float4& x, const Float4& y) {
  return x < y ? x : y;
}
inline F32 max(const F32& x, const F32& y) {
  return {max4(x.a, y.a), max4(x.b, y.b), max4(x.c, y.c), max4(x.d, y.d)};
}
inline F32 min(const F32& x, const F32& y) {
  return {min4(x.a, y.a), min4(x.b, y.b), min4(x.c, y.c), min4(x.d, y.d)};
}
inline Float4 abs4(const Float4& x) {
  return read<Float4>(&static_cast<const Int4x&>(read<Int4x>(&x) & 0x7fffffff));
}
inline F32 absolute(const F32& x) {
  return {abs4(x.a), abs4(x.b), abs4(x.c), abs4(x.d)};
}
inline Float4 power_below4(const Float4& x) {
  return read<Float4>(&static_cast<const Int4x&>(read<Int4x>(&x) & 0x7f800000));
}
/// The power of two at or below |x|; 0 for magnitudes below 2^-126.
inline F32 power_below(const F32& x) {
  return {power_below4(x.a), power_below4(x.b), power_below4(x.c), power_below4(x.d)};
}
/// x where |test| < limit, else y.
inline Float4 select4(const Float4& test, float limit, const Float4& x, const Float4& y) {
  return abs4(test) < splat4(limit) ? x : y;
}
inline F32 select_small(const F32& test, float limit, const F32& x, const F32& y) {
  return {select4(test.a, limit, x.a, y.a), select4(test.b, limit, x.b, y.b), select4(test.c, limit, x.c, y.c),
          select4(test.d, limit, x.d, y.d)};
}
// For |x| < 2^22, adding 1.5 * 2^23 rounds half to even and leaves the integer in the low mantissa bits.
inline Float4 round4(const Float4& x) {
  const Float4 magic = splat4(12582912.0F);
  return (x + magic) - magic;
}
inline F32 round_even(const F32& x) {
  return {round4(x.a), round4(x.b), round4(x.c), round4(x.d)};
}
inline Float4 pow2_4(const Float4& p, const Float4& n) {
  const Int4x bits = (__builtin_convertvector(n, Int4x) + 127) << 23;
  return p * read<Float4>(&bits);
}
/// p * 2^n for whole n in [-126, 127].
inline F32 scale_pow2(const F32& p, const F32& n) {
  return {pow2_4(p.a, n.a), pow2_4(p.b, n.b), pow2_4(p.c, n.c), pow2_4(p.d, n.d)};
}
inline float reduce_add(const F32& x) {
  const Float4 s = (x.a + x.b) + (x.c + x.d);
  return (s[0] + s[1]) + (s[2] + s[3]);
}
inline float reduce_max(const F32& x) {
  const Float4 s = max4(max4(x.a, x.b), max4(x.c, x.d));
  const float left = s[0] > s[1] ? s[0] : s[1];
  const float right = s[2] > s[3] ? s[2] : s[3];
  return left > right ? left : right;
}

inline I32 zero_i32() {
  const Int4x v{0, 0, 0, 0};
  return {v, v, v, v};
}
inline I32 load_i32(const void* p) {
  return read<I32>(static_cast<const std::byte*>(p));
}
inline void store_i32(void* p, const I32& x) {
  write(static_cast<std::byte*>(p), x);
}
inline I32 add_i32(const I32& x, const I32& y) {
  return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
}
inline F32 to_f32(const I32& x) {
  return {__builtin_convertvector(x.a, Float4), __builtin_convertvector(x.b, Float4),
          __builtin_convertvector(x.c, Float4), __builtin_convertvector(x.d, Float4)};
}
inline I32 to_i32(const F32& x) {
  return {__builtin_convertvector(x.a, Int4x), __builtin_convertvector(x.b, Int4x), __builtin_convertvector(x.c, Int4x),
          __builtin_convertvector(x.d, Int4x)};
}
/// 16 int8 values.
inline F32 load_i8(const void* p) {
  const auto* from = static_cast<const std::int8_t*>(p);
  float out[16];
  for (int i = 0; i < 16; ++i) out[i] = static_cast<float>(from[i]);
  return load(out);
}
inline F32 bits_as_f32(const I32& x) {
  return read<F32>(&x);
}
/// Both BF16 halves of each lane as f32.
inline F32 bf16_even(const I32& x) {
  return bits_as_f32({x.a << 16, x.b << 16, x.c << 16, x.d << 16});
}
inline F32 bf16_odd(const I32& x) {
  const std::int32_t mask = static_cast<std::int32_t>(0xffff0000U);
  return bits_as_f32({x.a & mask, x.b & mask, x.c & mask, x.d & mask});
}
/// Each lane shifted to the right by kRight bits, or to the left by -kRight if that is negative, without the bits outside kMask.
template <int kRight, std::uint32_t kMask>
inline I32 shifted_bits(const I32& x) {
  static_assert(kRight <= 0 || kMask >> (32 - kRight) == 0, "a signed shift fills the bits above with the sign");
  constexpr auto kBits = static_cast<std::int32_t>(kMask);
  if constexpr (kRight < 0) {
    return {(x.a << -kRight) & kBits, (x.b << -kRight) & kBits, (x.c << -kRight) & kBits, (x.d << -kRight) & kBits};
  }
  return {(x.a >> kRight) & kBits, (x.b >> kRight) & kBits, (x.c >> kRight) & kBits, (x.d >> kRight) & kBits};
}
/// Bits [kLow, kLow + kBits) of each lane, sign-extended, as f32.
template <int kLow, int kBits>
inline F32 field(const I32& x) {
  constexpr int kLeft = 32 - kLow - kBits;
  constexpr int kRight = 32 - kBits;
  return to_f32(
      {(x.a << kLeft) >> kRight, (x.b << kLeft) >> kRight, (x.c << kLeft) >> kRight, (x.d << kLeft) >> kRight});
}
/// The same bits as an unsigned number.
template <int kLow, int kBits>
inline F32 unsigned_field(const I32& x) {
  constexpr std::int32_t kMask = (1 << kBits) - 1;
  return to_f32({(x.a >> kLow) & kMask, (x.b >> kLow) & kMask, (x.c >> kLow) & kMask, (x.d >> kLow) & kMask});
}
/// The E4M3 number in the bits from kLow on of each lane. With its exponent and mantissa moved to their places in an f32, it is 2^120 times
/// too small, also if it is subnormal, and is multiplied by that. NaN becomes 480.
template <int kLow>
inline F32 e4m3_at(const I32& x) {
  constexpr auto kPlaces = static_cast<std::int32_t>(0x87f00000U);
  constexpr int kLeft = 24 - kLow;
  const I32 small = {((x.a << kLeft) >> 4) & kPlaces, ((x.b << kLeft) >> 4) & kPlaces, ((x.c << kLeft) >> 4) & kPlaces,
                     ((x.d << kLeft) >> 4) & kPlaces};
  return mul(bits_as_f32(small), broadcast(0x1p120F));
}
/// The four bits from kLow on of each lane, two's complement, as f32 times kNibbleUnit.
inline constexpr float kNibbleUnit = 1.0F;
template <int kLow>
inline F32 nibble_at(const I32& x) {
  return field<kLow, 4>(x);
}
/// The E2M1 number in the four bits from kLow on of each lane.
template <int kLow>
inline F32 e2m1_at(const I32& x) {
  constexpr float kNumbers[16] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6};
  std::int32_t lanes[16];
  store_i32(lanes, x);
  float out[16];
  for (int i = 0; i < 16; ++i) out[i] = kNumbers[lanes[i] >> kLow & 15];
  return load(out);
}
/// For each byte of x, which is below 16, the byte of the 16-byte `table` at that index.
inline I32 look_up(const std::uint8_t* table, const I32& x) {
  std::uint8_t bytes[sizeof(I32)];
  write(bytes, x);
  for (std::uint8_t& byte : bytes) byte = table[byte];
  return read<I32>(bytes);
}
/// 16 scales in E8M0. The least one, 2^-127, is subnormal in f32.
inline F32 load_e8m0(const void* p) {
  const auto* from = static_cast<const std::uint8_t*>(p);
  std::uint32_t bits[16];
  for (int i = 0; i < 16; ++i) bits[i] = from[i] == 0 ? 0x00400000U : static_cast<std::uint32_t>(from[i]) << 23;
  return read<F32>(&bits);
}

/// Four columns of a vector of int4 tiles as int8, 16 times their value, so that the nibble is at the top of its byte:
/// columns 0, 4, 1, 5 from the low nibbles (kHigh false), 2, 6, 3, 7 from the high ones.
template <bool kHigh>
inline I32 nibble_bytes(const I32& x) {
  constexpr int kLeft = kHigh ? 0 : 4;
  const auto top = static_cast<std::int32_t>(0xf0f0f0f0U);
  return {(x.a << kLeft) & top, (x.b << kLeft) & top, (x.c << kLeft) & top, (x.d << kLeft) & top};
}
/// The same for mxfp4 tiles, with twice their value.
template <bool kHigh>
inline I32 doubled_e2m1_bytes(const I32& x) {
  constexpr std::int8_t kNumbers[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  std::int8_t bytes[64];
  store_i32(bytes, x);
  for (std::int8_t& byte : bytes) byte = kNumbers[static_cast<std::uint8_t>(byte) >> (kHigh ? 4 : 0) & 15];
  return load_i32(bytes);
}

inline float f16_to_f32(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000U) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(h & 0x7fffU) << 13;
  // Multiplying by 2^112 moves the exponent bias and makes subnormals exact.
  const float value = read<float>(&magnitude) * 0x1p112F;
  std::uint32_t bits = read<std::uint32_t>(&value) | sign;
  if ((h & 0x7c00U) == 0x7c00U) bits = sign | 0x7f800000U | magnitude;
  return read<float>(&bits);
}
/// 16 FP16 values.
inline F32 load_f16(const void* p) {
  const auto* from = static_cast<const std::uint16_t*>(p);
  float out[16];
  for (int i = 0; i < 16; ++i) out[i] = f16_to_f32(from[i]);
  return load(out);
}
inline std::uint16_t bf16_bits(float x) {
  const auto bits = read<std::uint32_t>(&x);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}
inline void store_bf16(std::uint16_t* p, const F32& x) {
  float values[16];
  store(values, x);
  for (int i = 0; i < 16; ++i) p[i] = bf16_bits(values[i]);
}

/// acc + w.low * x.low + w.high * x.high in each lane; w: 16-bit pairs, x: one pair.
inline Int4x dot_pair4(const Int4x& acc, const Int4x& w, std::int32_t low, std::int32_t high) {
  return acc + ((w << 16) >> 16) * low + (w >> 16) * high;
}
/// acc + the dot product of the four int8 of each lane and four i16 activations, stored in the order 0, 2, 1, 3.
inline I32 dot_int8_i16(const I32& acc, const I32& w, const std::int16_t* x) {
  const auto quad = [x](const Int4x& sum, const Int4x& v) {
    return sum + ((v << 24) >> 24) * static_cast<std::int32_t>(x[0]) +
           ((v << 8) >> 24) * static_cast<std::int32_t>(x[1]) + ((v << 16) >> 24) * static_cast<std::int32_t>(x[2]) +
           (v >> 24) * static_cast<std::int32_t>(x[3]);
  };
  return {quad(acc.a, w.a), quad(acc.b, w.b), quad(acc.c, w.c), quad(acc.d, w.d)};
}

}  // namespace secondsource::cpu::SS_CPU_ISA
