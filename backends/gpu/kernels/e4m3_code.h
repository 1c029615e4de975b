#pragma once
// E4M3 numbers (core/e4m3.h) on the device: codes of weights become f32 or BF16, and activations are rounded to them.
//
// Every E4M3 number is exact in FP16, BF16 and f32, and a product of two has eight bits, so that it does not matter in which of the
// types they are multiplied. sm_89 and newer convert two codes to FP16 in one instruction. Elsewhere the bits of exponent and
// mantissa are moved to their places in FP16 (BF16), where they are a number whose exponent is 8 (120) too small, also where it is
// subnormal; one exact multiplication for two of them corrects it. The two codes that are no number do not reach a backend.

#include "gpu/portable/storage.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

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

/// Exponents and mantissas of both halves moved down by kPlaces bits, which is their place behind the sign.
template <int kPlaces>
SS_DEVICE std::uint32_t moved_codes(std::uint32_t spread) {
  return (spread & 0x7f007f00U) >> kPlaces | (spread & 0x80008000U);
}

/// The four numbers of a word.
SS_DEVICE void unpack_e4m3(std::uint32_t word, float* values) {
  SS_UNROLL
  for (int pair = 0; pair < 2; ++pair) {
#if defined(__CUDA_ARCH__)
    std::uint32_t halves;
#if __CUDA_ARCH__ >= 890
    const auto codes = static_cast<std::uint16_t>(word >> (16 * pair));
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(codes));
#else
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(halves) : "r"(moved_codes<1>(spread_codes(word, pair))), "r"(0x5c005c00U));
#endif
    values[2 * pair] = widen(F16{static_cast<std::uint16_t>(halves)});
    values[2 * pair + 1] = widen(F16{static_cast<std::uint16_t>(halves >> 16)});
#elif defined(__HIP_DEVICE_COMPILE__)
    using Half2 = __attribute__((ext_vector_type(2))) _Float16;
    std::uint32_t moved = moved_codes<1>(spread_codes(word, pair));
    asm("" : "+v"(moved));  // else clang computes the halves apart, with twice the instructions
    const Half2 halves = bits_as<Half2>(moved) * static_cast<_Float16>(256.0F);
    values[2 * pair] = static_cast<float>(halves[0]);
    values[2 * pair + 1] = static_cast<float>(halves[1]);
#else
    const std::uint32_t halves = moved_codes<1>(spread_codes(word, pair));
    values[2 * pair] = widen(F16{static_cast<std::uint16_t>(halves)}) * 256.0F;
    values[2 * pair + 1] = widen(F16{static_cast<std::uint16_t>(halves >> 16)}) * 256.0F;
#endif
  }
}

/// The eight numbers of two words as BF16.
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
  // Beside a number 1.5 * 2^20 times as large as the power of two at or below the value, an f32 has room for three bits behind
  // the first, so that the addition rounds; below 2^-6 the last place stays 2^-9.
  const std::uint32_t power = bits_as<std::uint32_t>(capped) & 0x7f800000U;
  const float room = bits_as<float>(power < 0x3c800000U ? 0x3c800000U : power) * 1572864.0F;
  return copysignf((capped + room) - room, value);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
