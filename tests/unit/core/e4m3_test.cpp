// Compares both conversions with the definition in the OCP 8-bit Floating Point Specification (revision 1.0, table 2), evaluated
// exactly, with powers of two in f64. tests/data/quantizers/vectors.json has codes that NumPy computed, and
// bundles/recipes/test_recipes.py compares PyTorch's float8_e4m3fn with the same file.

#include "core/e4m3.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.h"

namespace secondsource {
namespace {

/// The value of a code that is not NaN: the exponent's bias is 7, and numbers with exponent 0 are subnormal.
double number_of(int code) {
  const int exponent = code >> 3 & 15;
  const int fraction = code & 7;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
  return (code & 128) != 0 ? -magnitude : magnitude;
}

/// The code of the nearest number; of two equally near ones, the code whose last bit is 0. Beyond 448, the code of 448.
int nearest_code(float value) {
  const double size = std::fabs(static_cast<double>(value));
  int best = 0;
  for (int code = 1; code < 127; ++code) {
    const double apart = std::fabs(number_of(code) - size);
    const double least = std::fabs(number_of(best) - size);
    if (apart < least || (apart == least && code % 2 == 0)) best = code;
  }
  return best + (std::signbit(value) ? 128 : 0);
}

TEST_CASE("every E4M3 code is the number of the specification and its own nearest code") {
  for (int code = 0; code < 256; ++code) {
    CAPTURE(code);
    const E4m3 stored{static_cast<std::uint8_t>(code)};
    const float value = to_float(stored);
    CHECK(is_nan(stored) == ((code & 127) == 127));
    CHECK(std::isnan(value) == is_nan(stored));
    CHECK(to_e4m3(value).bits == code);
    if (is_nan(stored)) continue;
    CHECK(static_cast<double>(value) == number_of(code));
    CHECK(std::signbit(value) == (code >= 128));
    CHECK(round_to_e4m3(value) == value);
  }
  CHECK(to_float(E4m3{0x7e}) == kE4m3Max);
  CHECK(to_float(E4m3{0x01}) == 0x1p-9F);
  CHECK(to_float(E4m3{0x08}) == 0x1p-6F);
}

TEST_CASE("floats are rounded to the nearest E4M3 number, half to even, and saturate") {
  std::vector<float> values = {0.0F,   1e-45F,  1e-38F,  0x1p-11F, 463.9F,
                               464.0F, 464.01F, 1000.0F, 3e38F,    std::numeric_limits<float>::infinity()};
  for (int code = 0; code < 126; ++code) {
    // The midpoint between this number and the next one, and the floats on both sides of it.
    const auto middle = static_cast<float>((number_of(code) + number_of(code + 1)) / 2);
    values.insert(values.end(), {middle, std::nextafter(middle, 0.0F), std::nextafter(middle, 1000.0F)});
  }
  for (std::uint32_t bits = 0; bits < 0x7f800000U; bits += 0x7351U) values.push_back(std::bit_cast<float>(bits));
  int n_wrong = 0;
  for (const float positive : values) {
    for (const float value : {positive, -positive}) {
      const int expected = nearest_code(value);
      const bool is_right = to_e4m3(value).bits == expected &&
                            round_to_e4m3(value) == to_float(E4m3{static_cast<std::uint8_t>(expected)}) &&
                            std::signbit(round_to_e4m3(value)) == std::signbit(value);
      if (is_right) continue;
      ++n_wrong;
      UNSCOPED_INFO(value << ": expected code " << expected << ", found " << int{to_e4m3(value).bits});
    }
  }
  CHECK(n_wrong == 0);
  CHECK(std::isnan(round_to_e4m3(std::numeric_limits<float>::quiet_NaN())));
  CHECK(to_e4m3(std::numeric_limits<float>::quiet_NaN()).bits == 0x7f);
}

}  // namespace
}  // namespace secondsource
