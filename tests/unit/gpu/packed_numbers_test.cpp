// Tests the device's conversions from int4, int8, E4M3, E2M1 and E8M0 for every code in every place of a word, and its rounding to
// E4M3 at and around every number and every midpoint. The reference is core/e4m3.h, which tests/unit/core compares with PyTorch, and
// core/e2m1.h for E2M1 and E8M0.

#include "gpu/portable/packed_numbers.h"

#include <bit>
#include <cmath>
#include <vector>

#include "core/e2m1.h"
#include "core/e4m3.h"
#include "gpu/kernels/kernels.h"
#include "support/catch.h"

namespace secondsource::gpu {
namespace {

constexpr std::uint32_t kCodes = 256;

TEST_CASE("every int4 and int8 code has its value in f32, wherever in a word it is") {
  for (int q = -8; q < 8; ++q) {
    for (int col = 0; col < 8; ++col) {
      CAPTURE(q, col);
      // Even columns are in the lower half of the word, odd ones in its upper half.
      const int shift = col / 2 * 4 + col % 2 * 16;
      CHECK(static_cast<int>(kInt4Shifts >> (col * 8) & 31U) == shift);
      const std::uint32_t word = (0x3f81c62eU & ~(15U << shift)) | static_cast<std::uint32_t>(q + kInt4Zero) << shift;
      float values[8];
      unpack_int4(word, values);
      CHECK(values[col] == static_cast<float>(q));
      float half[4];
      unpack_half_of_int4(word, col / 4, half);
      CHECK(half[col % 4] == static_cast<float>(q));
      for (int zero = 0; zero < 16; ++zero) {
        unpack_int4(word, values, int4_addends(static_cast<std::uint32_t>(zero)));
        CHECK(values[col] == static_cast<float>(q + kInt4Zero - zero));
        unpack_half_of_int4(word, col / 4, half, int4_addends(static_cast<std::uint32_t>(zero)));
        CHECK(half[col % 4] == static_cast<float>(q + kInt4Zero - zero));
      }
    }
  }
  for (int q = -128; q < 128; ++q) {
    for (int place = 0; place < 4; ++place) {
      CAPTURE(q, place);
      const std::uint32_t code = static_cast<std::uint8_t>(q);
      float values[4];
      unpack_int8((0x7f80c03eU & ~(0xffU << (8 * place))) | code << (8 * place), values);
      CHECK(values[place] == static_cast<float>(q));
    }
  }
}

TEST_CASE("every E4M3 code has its value in f32 and in BF16, wherever in a word it is") {
  for (std::uint32_t code = 0; code < kCodes; ++code) {
    const E4m3 number{static_cast<std::uint8_t>(code)};
    if (is_nan(number)) continue;
    for (int place = 0; place < 8; ++place) {
      CAPTURE(code, place);
      std::uint32_t words[2] = {0x38b83c01U, 0x7e80fe00U};  // the other codes must not matter
      std::uint32_t& word = words[place / 4];
      const int shift = place % 4 * 8;
      word = (word & ~(0xffU << shift)) | code << shift;
      float values[4];
      unpack_e4m3(word, values);
      const Chunk chunk = e4m3_to_bf16(words[0], words[1]);
      const Bf16 narrow{static_cast<std::uint16_t>(chunk.word[place / 2] >> (place % 2 * 16))};
      const auto expected = std::bit_cast<std::uint32_t>(secondsource::to_float(number));
      CHECK(std::bit_cast<std::uint32_t>(values[place % 4]) == expected);
      CHECK(std::bit_cast<std::uint32_t>(secondsource::to_float(narrow)) == expected);
    }
  }
}

TEST_CASE("every E2M1 code has its value in f32, wherever in a word it is, and every power of two of E8M0") {
  // Bit positions for columns 0 to 7: the lowest bit of exponent and mantissa, and the sign bit.
  constexpr int kLowest[] = {9, 25, 6, 22, 3, 19, 0, 16};
  constexpr int kSign[] = {15, 31, 12, 28, 14, 30, 13, 29};
  for (std::uint32_t code = 0; code < 16; ++code) {
    for (int col = 0; col < 8; ++col) {
      CAPTURE(code, col);
      CHECK(static_cast<int>(kE2m1Shifts >> (col * 8) & 31U) == kLowest[col]);
      CHECK(static_cast<int>(kE2m1SignShifts >> (col * 8) & 31U) == kSign[col]);
      const std::uint32_t own_bits = 7U << kLowest[col] | 1U << kSign[col];
      const std::uint32_t word = (0x6d93c5a2U & ~own_bits) | (code & 7U) << kLowest[col] | code >> 3 << kSign[col];
      const auto expected =
          std::bit_cast<std::uint32_t>(secondsource::to_float(E2m1{static_cast<std::uint8_t>(code)}) / kE2m1Unit);
      float values[8];
      unpack_e2m1(word, values);
      CHECK(std::bit_cast<std::uint32_t>(values[col]) == expected);
      float half[4];
      unpack_half_of_e2m1(word, col / 4, half);
      CHECK(std::bit_cast<std::uint32_t>(half[col % 4]) == expected);
    }
  }
  for (std::uint32_t code = 0; code < 0xff; ++code) {
    const E8m0 power{static_cast<std::uint8_t>(code)};
    CHECK(std::bit_cast<std::uint32_t>(widen(power)) == std::bit_cast<std::uint32_t>(secondsource::to_float(power)));
  }
}

TEST_CASE(
    "values are rounded to the nearest E2M1 number, half to even, and are at most 6; E4M3 has its value as a half") {
  constexpr float kNumbers[] = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  for (std::size_t i = 0; i < 7; ++i) {
    const float middle = (kNumbers[i] + kNumbers[i + 1]) / 2.0F;
    CAPTURE(middle);
    for (const float sign : {1.0F, -1.0F}) {
      CHECK(nearest_e2m1(sign * kNumbers[i]) == sign * kNumbers[i]);
      CHECK(nearest_e2m1(sign * std::nextafter(middle, 0.0F)) == sign * kNumbers[i]);
      CHECK(nearest_e2m1(sign * middle) == sign * kNumbers[i % 2 == 0 ? i : i + 1]);
      CHECK(nearest_e2m1(sign * std::nextafter(middle, 8.0F)) == sign * kNumbers[i + 1]);
      CHECK(round_to_e2m1(sign * middle) == sign * kNumbers[i % 2 == 0 ? i : i + 1]);
    }
  }
  for (const float large : {6.5F, 1e30F}) CHECK(nearest_e2m1(-large) == -6.0F);
  for (std::uint32_t code = 0; code < 256; ++code) {
    const E4m3 number{static_cast<std::uint8_t>(code)};
    if (is_nan(number)) continue;
    CHECK(widen_e4m3_as_half(code | 0xa500U) * kE4m3HalfUnit == secondsource::to_float(number));
  }
}

TEST_CASE("values are rounded to the nearest E4M3 number, half to even, and are at most 448") {
  std::vector<float> values = {0.0F, 1e-30F, 0x1p-149F, 448.1F, 463.9F, 464.0F, 480.0F, 1e30F, 3e38F};
  for (std::uint32_t code = 0; code < 0x7e; ++code) {
    const float number = secondsource::to_float(E4m3{static_cast<std::uint8_t>(code)});
    const float next = secondsource::to_float(E4m3{static_cast<std::uint8_t>(code + 1)});
    const float middle = (number + next) / 2.0F;  // exact
    for (const float value : {number, middle, 0.75F * number + 0.25F * next, 0.25F * number + 0.75F * next}) {
      values.insert(values.end(), {value, std::nextafter(value, 0.0F), std::nextafter(value, 1000.0F)});
    }
  }
  for (const float magnitude : values) {
    for (const float value : {magnitude, -magnitude}) {
      CAPTURE(value);
      CHECK(std::bit_cast<std::uint32_t>(nearest_e4m3(value)) == std::bit_cast<std::uint32_t>(round_to_e4m3(value)));
    }
  }
}

}  // namespace
}  // namespace secondsource::gpu
