#pragma once
// Sums of products of codes and BF16 activations with the AVX-512 instruction vdpbf16ps, for matmul_codes-inl.h.
//
// A code q of n bits becomes 2^n + q, whose BF16 bits are those of 2^n with q as the first bits of the mantissa. Two instructions make them
// of two codes of a lane. The products with 2^n are subtracted by means of the sums of the activations. A greater power of two would do as
// well and, with 2^7, save an instruction, but with 128 the rounded sums of q2_k and q4_k failed the conformance suite.

#include "cpu/kernels/matmul_k_blocks-inl.h"
#include "cpu/kernels/row_kernels-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// ActType::kBf16Groups: 32 activations in BF16, and the sums of the first 16, of the last 16 and of all of them.
struct Bf16Group {
  std::uint16_t values[kGroupColumns];
  float half_sums[2];
  float sum;
  std::byte unused[20];
};
static_assert(sizeof(Bf16Group) == 3 * kGroupColumns, "act_bytes() says how many bytes an activation takes");

inline void pack_bf16_groups(const PackArgs& args) {
  const std::int64_t n_groups = args.k_padded / kGroupColumns;
  for (int m = 0; m < args.n_rows; ++m) {
    const float* const x = args.x + m * args.x_stride;
    auto* group = static_cast<Bf16Group*>(args.out) + m;
    for (std::int64_t at = 0; at < n_groups; ++at, group += args.n_rows) {
      for (int half = 0; half < 2; ++half) {
        const std::int64_t k = at * kGroupColumns + half * 16;
        std::uint16_t* const values = group->values + half * 16;
        store_bf16(values, k < args.k ? load_some(x + k, args.k - k) : zero());
        const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
        group->half_sums[half] = reduce_add({_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))});
      }
      group->sum = group->half_sums[0] + group->half_sums[1];
    }
  }
}

/// The sums of the products of codes of kCodeBits with a row of activations, for 16 rows of the weight.
template <int kCodeBits>
class Bf16Sums {
 public:
  using Group = Bf16Group;
  static constexpr ActType kAct = ActType::kBf16Groups;
  static constexpr float kBias = 1U << kCodeBits;
  static constexpr bool kTakesEightBits = false;

  /// Eight columns plus kBias: 0 and 1, 2 and 3, 4 and 5, 6 and 7.
  struct Operands {
    __m512i pairs[4];
  };
  static Operands operands(const CodeBytes& codes) {
    return {{pair<0>(codes.of_low_nibbles), pair<0>(codes.of_high_nibbles), pair<8>(codes.of_low_nibbles),
             pair<8>(codes.of_high_nibbles)}};
  }

  [[gnu::always_inline]] Bf16Sums() : sum_(_mm512_setzero_ps()) {}

  /// Eight columns, from column `first` of the group on.
  [[gnu::always_inline]] void add(const Operands& of_codes, const Bf16Group& x, int first) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m512i of_pair = _mm512_set1_epi32(read<std::int32_t>(x.values + first + 2 * i));
      sum_ = _mm512_dpbf16_ps(sum_, (__m512bh)of_codes.pairs[i], (__m512bh)of_pair);
    }
  }

  static void end_span() {}

  [[nodiscard, gnu::always_inline]] F32 value() const {
    return {sum_};
  }

 private:
  /// The codes in the bytes from bit kFirst on of both halves of each lane, as BF16 numbers plus kBias.
  template <int kFirst>
  static __m512i pair(const I32& codes) {
    constexpr int kLeft = 7 - kCodeBits;  // a BF16 number has seven bits of mantissa
    static_assert(kLeft > 0);
    const __m512i shifted =
        kFirst == 0 ? _mm512_slli_epi32(codes.v, kLeft) : _mm512_srli_epi32(codes.v, kFirst - kLeft);
    constexpr std::uint32_t kBothHalves = 0x00010001;
    constexpr std::uint32_t kMantissa = ((1U << kCodeBits) - 1U) << kLeft;
    constexpr std::uint32_t kPowerOfTwo = (127U + kCodeBits) << 7U;
    constexpr int kAndOr = 0xea;  // a & b | c
    return _mm512_ternarylogic_epi32(shifted, _mm512_set1_epi32(kMantissa * kBothHalves),
                                     _mm512_set1_epi32(kPowerOfTwo * kBothHalves), kAndOr);
  }

  __m512 sum_;
};

}  // namespace secondsource::cpu::SS_CPU_ISA
