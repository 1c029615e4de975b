#pragma once
// Converts packed int8, int4, E4M3 (core/e4m3.h) and E2M1 (core/e2m1.h) codes to f32 or BF16, and rounds f32 to E4M3.
//
// GPUs convert integers at a quarter of the rate of additions, or slower. Integer codes are therefore written into the low mantissa bits of
// a constant whose last mantissa bit is worth 1 (1024 in FP16, 2^23 in f32). The result is exactly that constant plus the code; subtracting
// the constant leaves the code. In FP16 one instruction does so for two (Kim et al., "Who Says Elephants Can't Run", arXiv:2211.10017).
//
// Every E4M3 number is exact in FP16, BF16 and f32, and a product of two has eight bits, so that it does not matter in which of the
// types they are multiplied. sm_89 and newer convert two codes to FP16 in one instruction. Elsewhere the exponent and mantissa bits of
// a code are shifted to their places in FP16 or BF16. Since the exponent biases differ, the result is too small by 2^8 in FP16 and by
// 2^120 in BF16, for subnormal codes as well; one multiplication corrects two values exactly. The two NaN codes of E4M3 never reach a
// backend.
//
// E2M1 codes are moved to their places in FP16 in the same way, and are too small by 2^14 there. This is corrected in a sum of products or
// with the scale of a group, so that no code takes an instruction for it.

#include "gpu/portable/storage.h"

// nvcc 12.0 converts E4M3 for sm_90 alone.
#if defined(__CUDA_ARCH__) && \
    (__CUDA_ARCH__ >= 900 || (__CUDA_ARCH__ == 890 && __CUDACC_VER_MAJOR__ * 100 + __CUDACC_VER_MINOR__ >= 1201))
#define SS_GPU_CONVERTS_E4M3 1
#endif

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

#if defined(__HIP_DEVICE_COMPILE__)
/// The halves of a word. Without the assembly clang would compute both apart, with two to three times the instructions.
template <typename Halves>
SS_DEVICE Halves halves_of(std::uint32_t word) {
  asm("" : "+v"(word));
  return __builtin_bit_cast(Halves, word);
}
#endif

/// (bits & mask) | set
SS_DEVICE std::uint32_t and_or(std::uint32_t bits, std::uint32_t mask, std::uint32_t set) {
#if defined(__CUDA_ARCH__)
  // When two operands are constants, nvcc splits the expression into two instructions, so the single LOP3 is written out.
  std::uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(bits), "r"(mask), "r"(set));
  return result;
#elif defined(__HIP_DEVICE_COMPILE__)
  asm("" : "+v"(set));  // v_and_or_b32 takes one scalar operand on gfx9
  return (bits & mask) | set;
#else
  return (bits & mask) | set;
#endif
}

/// Both halves of `halves`, multiplied by `factor` and added to the halves of `addends`, as f32. All operands are FP16 numbers, and the
/// results must be exact in FP16.
SS_DEVICE void multiply_add_halves(std::uint32_t halves, F16 factor, std::uint32_t addends, float& low, float& high) {
  [[maybe_unused]] const std::uint32_t factors = factor.bits * 0x10001U;
#if defined(__CUDA_ARCH__)
  std::uint32_t results;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(results) : "r"(halves), "r"(factors), "r"(addends));
  low = widen(F16{static_cast<std::uint16_t>(results)});
  high = widen(F16{static_cast<std::uint16_t>(results >> 16)});
#elif defined(__HIP_DEVICE_COMPILE__)
  using Half2 = __attribute__((ext_vector_type(2))) _Float16;
  const Half2 results =
      halves_of<Half2>(halves) * __builtin_bit_cast(Half2, factors) + __builtin_bit_cast(Half2, addends);
  low = static_cast<float>(results[0]);
  high = static_cast<float>(results[1]);
#else
  low =
      widen(F16{static_cast<std::uint16_t>(halves)}) * widen(factor) + widen(F16{static_cast<std::uint16_t>(addends)});
  high = widen(F16{static_cast<std::uint16_t>(halves >> 16)}) * widen(factor) +
         widen(F16{static_cast<std::uint16_t>(addends >> 16)});
#endif
}

/// The four int8 values of a word.
SS_DEVICE void unpack_int8(std::uint32_t word, float* values) {
#if defined(__CUDA_ARCH__)
  const std::uint32_t codes = word ^ 0x80808080U;  // values + 128
  SS_UNROLL
  for (int i = 0; i < 4; ++i) {
    values[i] = bits_as<float>(__byte_perm(codes, 0x4b000000U, 0x7540 + i)) - 8388736.0F;  // 2^23 + code - (2^23 + 128)
  }
#else
  SS_UNROLL
  for (int i = 0; i < 4; ++i) values[i] = static_cast<float>(static_cast<std::int8_t>(word >> (8 * i)));
#endif
}

/// The FP16 numbers that are added to 1024 + code or, for a code in the upper four bits of a byte, to 64 + code: minus that constant
/// and the zero point, so that the value is left. Both halves are equal.
struct Int4Addends {
  std::uint32_t lower = 0xe408e408U;  ///< -1032: the zero point is kernels.h's kInt4Zero
  std::uint32_t upper = 0xd480d480U;  ///< -72
};

/// The addends for a stored zero point, which is in [0, 15].
SS_DEVICE Int4Addends int4_addends(std::uint32_t zero) {
  return {.lower = zero * 0x10001U + 0xe400e400U, .upper = zero * 0x100010U + 0xd400d400U};
}

/// The four int4 values of columns 4 * half to 4 * half + 3 of a word, stored as kernels.h's kInt4Shifts says, less the zero point.
SS_DEVICE void unpack_half_of_int4(std::uint32_t word, int half, float* values, Int4Addends addends = {}) {
  constexpr std::uint32_t k1024 = 0x64006400U;  // twice 1024 in FP16, whose last place is worth 1
  constexpr F16 kOne{0x3c00};
  constexpr F16 kSixteenth{0x2c00};
  const std::uint32_t codes = word >> (8 * half);
  multiply_add_halves(and_or(codes, 0x000f000fU, k1024), kOne, addends.lower, values[0], values[1]);
  // 1024 + 16 code
  multiply_add_halves(and_or(codes, 0x00f000f0U, k1024), kSixteenth, addends.upper, values[2], values[3]);
}

/// All eight of them.
SS_DEVICE void unpack_int4(std::uint32_t word, float* values, Int4Addends addends = {}) {
  unpack_half_of_int4(word, 0, values, addends);
  unpack_half_of_int4(word, 1, values + 4, addends);
}

/// Both halves of a word, FP16 numbers, as f32.
SS_DEVICE void widen_halves(std::uint32_t halves, float& low, float& high) {
#if defined(__HIP_DEVICE_COMPILE__)
  using Half2 = __attribute__((ext_vector_type(2))) _Float16;
  const auto both = halves_of<Half2>(halves);
  low = static_cast<float>(both[0]);
  high = static_cast<float>(both[1]);
#else
  low = widen(F16{static_cast<std::uint16_t>(halves)});
  high = widen(F16{static_cast<std::uint16_t>(halves >> 16)});
#endif
}

/// Chooses four of the eight bytes of `low` and `high`. The index of byte i of the result, below 8, is the i-th nibble of `choice` on
/// NVIDIA, which ignores the upper half of `choice`, and its i-th byte on AMD.
SS_DEVICE std::uint32_t choose_bytes(std::uint32_t low, std::uint32_t high, std::uint32_t choice) {
#if defined(__CUDA_ARCH__)
  return __byte_perm(low, high, choice);
#elif defined(__HIP_DEVICE_COMPILE__)
  return __builtin_amdgcn_perm(high, low, choice);
#else
#if defined(SS_GPU_TILE_MMA)
  constexpr int kIndexBits = 4;
#else
  constexpr int kIndexBits = 8;
#endif
  std::uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t index = choice >> (kIndexBits * i) & 7U;
    result |= ((index < 4 ? low : high) >> (index % 4 * 8) & 0xffU) << (8 * i);
  }
  return result;
#endif
}

/// What the results of unpack_e2m1() have to be multiplied by.
inline constexpr float kE2m1Unit = 16384.0F;

/// The four E2M1 numbers of columns 4 * half to 4 * half + 3 of a word, stored as kernels.h's kE2m1Shifts says, divided by kE2m1Unit.
SS_DEVICE void unpack_half_of_e2m1(std::uint32_t word, int half, float* values) {
  constexpr std::uint32_t kNumbers = 0x0e000e00U;  // places of exponents and mantissas
  constexpr std::uint32_t kSigns = 0x80008000U;
  SS_UNROLL
  for (int pair = 0; pair < 2; ++pair) {
    const std::uint32_t halves = half == 0 ? word << (3 * pair) & (kNumbers | kSigns)
                                           : and_or(word << (3 * pair + 6), kNumbers, word << (pair + 1) & kSigns);
    widen_halves(halves, values[2 * pair], values[2 * pair + 1]);
  }
}

/// All eight of them.
SS_DEVICE void unpack_e2m1(std::uint32_t word, float* values) {
  unpack_half_of_e2m1(word, 0, values);
  unpack_half_of_e2m1(word, 1, values + 4);
}

/// What the result of widen_e4m3_as_half() has to be multiplied by.
inline constexpr float kE4m3HalfUnit = 256.0F;

/// The E4M3 number in the low byte of `bits`, divided by kE4m3HalfUnit: FP16 with its exponent and mantissa. NaN becomes 480.
SS_DEVICE float widen_e4m3_as_half(unsigned bits) {
  return widen(F16{static_cast<std::uint16_t>((bits & 0x7fU) << 7 | (bits & 0x80U) << 8)});
}

/// The codes 2 * pair and 2 * pair + 1 of a word, each in the upper byte of a half of the result, whose lower bytes are 0.
SS_DEVICE std::uint32_t spread_codes(std::uint32_t word, int pair) {
#if defined(__CUDA_ARCH__)
  return __byte_perm(word, 0, pair == 0 ? 0x1404 : 0x3424);
#elif defined(__HIP_DEVICE_COMPILE__)
  return __builtin_amdgcn_perm(0, word, pair == 0 ? 0x010c000cU : 0x030c020cU);  // 0x0c: a byte of 0
#else
  word >>= 16 * pair;
  return (word & 0xffU) << 8 | (word & 0xff00U) << 16;
#endif
}

/// Moves exponent and mantissa of both halves down by kPlaces bits, to their places in the wider type. The signs stay where they are.
template <int kPlaces>
SS_DEVICE std::uint32_t moved_codes(std::uint32_t spread) {
#if defined(__HIP_DEVICE_COMPILE__)
  // An arithmetic shift copies the sign into the places behind it; the mask keeps only the first of these copies.
  using Short2 = __attribute__((ext_vector_type(2))) short;
  constexpr std::uint32_t kKept = 0x8000U | 0x7f00U >> kPlaces;
  const Short2 shifted = halves_of<Short2>(spread) >> static_cast<short>(kPlaces);
  return __builtin_bit_cast(std::uint32_t, shifted) & kKept * 0x10001U;
#else
  return (spread & 0x7f007f00U) >> kPlaces | (spread & 0x80008000U);
#endif
}

/// The four E4M3 numbers of a word.
SS_DEVICE void unpack_e4m3(std::uint32_t word, float* values) {
  SS_UNROLL
  for (int pair = 0; pair < 2; ++pair) {
#if defined(SS_GPU_CONVERTS_E4M3)
    std::uint32_t halves;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(static_cast<std::uint16_t>(word >> (16 * pair))));
    values[2 * pair] = widen(F16{static_cast<std::uint16_t>(halves)});
    values[2 * pair + 1] = widen(F16{static_cast<std::uint16_t>(halves >> 16)});
#else
    constexpr F16 k256{0x5c00};
    constexpr std::uint32_t kMinusZeros = 0x80008000U;  // -0, which keeps the sign of a zero
    multiply_add_halves(moved_codes<1>(spread_codes(word, pair)), k256, kMinusZeros, values[2 * pair],
                        values[2 * pair + 1]);
#endif
  }
}

/// The eight E4M3 numbers of two words as BF16.
SS_DEVICE Chunk e4m3_to_bf16(std::uint32_t first, std::uint32_t second) {
  Chunk chunk;
  SS_UNROLL
  for (int i = 0; i < 2; ++i) {
    const std::uint32_t word = i == 0 ? first : second;
#if defined(__CUDA_ARCH__)
    SS_UNROLL
    for (int pair = 0; pair < 2; ++pair) {
      asm("fma.rn.bf16x2 %0, %1, %2, %3;"  // * 2^120 + -0; mul.bf16x2 exists from sm_90 on
          : "=r"(chunk.word[2 * i + pair])
          : "r"(moved_codes<4>(spread_codes(word, pair))), "r"(0x7b807b80U), "r"(0x80008000U));
    }
#else
    float values[4];
    unpack_e4m3(word, values);
    SS_UNROLL
    for (int pair = 0; pair < 2; ++pair) {  // nothing is rounded: the lower halves are 0
      chunk.word[2 * i + pair] =
          bits_as<std::uint32_t>(values[2 * pair]) >> 16 | bits_as<std::uint32_t>(values[2 * pair + 1]);
    }
#endif
  }
  return chunk;
}

/// The nearest E4M3 number, half to even, of a finite value; at most 448 in magnitude.
SS_DEVICE float nearest_e4m3(float value) {
  const float capped = fminf(fabsf(value), 448.0F);
  // The addition rounds: beside a number 1.5 * 2^20 times the power of two at or below the value, an f32 keeps only three of the
  // value's bits behind the first one. Below 2^-6 the last place stays 2^-9.
  const std::uint32_t power = bits_as<std::uint32_t>(capped) & 0x7f800000U;
  const float room = bits_as<float>(power < 0x3c800000U ? 0x3c800000U : power) * 1572864.0F;
  return copysignf((capped + room) - room, value);
}

/// The nearest E2M1 number, half to even, of a finite value; at most 6 in magnitude.
SS_DEVICE float nearest_e2m1(float value) {
  const float capped = fminf(fabsf(value), 6.0F);
  // As above, with room for one bit behind the first; below 1 the last place stays 0.5.
  const std::uint32_t power = bits_as<std::uint32_t>(capped) & 0x7f800000U;
  const float room = bits_as<float>(power < 0x3f800000U ? 0x3f800000U : power) * 6291456.0F;
  return copysignf((capped + room) - room, value);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
