#pragma once
// Sums of products of codes of four bits and activations quantized to int8 with vpmaddubsw, for matmul_codes-inl.h. This instruction
// multiplies 32 unsigned codes with int8: twice as many as vpmaddwd, which needs both operands in 16 bits.
//
// The products of a group are added in 16 bits: a lane gets 16 of the 32 columns, whose sum is at most 15 * 128 * 16 = 30720.

#include "cpu/kernels/int8_groups-inl.h"
#include "cpu/kernels/matmul_k_blocks-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The sums of the products of codes with a row of activations, for 16 rows of the weight. A span is a whole group.
class Int8MaddubsSums {
 public:
  using Group = Int8Group;
  static constexpr ActType kAct = ActType::kI8Groups;
  static constexpr float kBias = 0.0F;
  static constexpr bool kTakesEightBits = false;

  [[gnu::always_inline]] Int8MaddubsSums() : of_span_(zero_i32()) {}

  static CodeBytes operands(const CodeBytes& codes) { return codes; }

  /// Eight columns, from column `first` of the group on.
  [[gnu::always_inline]] void add(const CodeBytes& codes, const Int8Group& x, int first) {
    add_four(codes.of_low_nibbles, x.digits[0] + first);
    add_four(codes.of_high_nibbles, x.digits[0] + first + 4);
  }

  [[gnu::always_inline]] void end_span() {}

  [[nodiscard, gnu::always_inline]] F32 value() const {
    const __m256i ones = _mm256_set1_epi16(1);
    return to_f32({_mm256_madd_epi16(of_span_.a, ones), _mm256_madd_epi16(of_span_.b, ones)});
  }

 private:
  [[gnu::always_inline]] void add_four(const I32& codes, const std::int8_t* values) {
    const __m256i of_four = _mm256_set1_epi32(read<std::int32_t>(values));
    of_span_ = {_mm256_add_epi16(of_span_.a, _mm256_maddubs_epi16(codes.a, of_four)),
                _mm256_add_epi16(of_span_.b, _mm256_maddubs_epi16(codes.b, of_four))};
    // Without this g++ adds the products of a group in pairs, and has to keep them in memory until then.
    __asm__("" : "+x"(of_span_.a), "+x"(of_span_.b));
  }

  I32 of_span_;  ///< two sums of 16 bits for each row of the weight
};

}  // namespace secondsource::cpu::SS_CPU_ISA
