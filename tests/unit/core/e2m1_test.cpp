#include "core/e2m1.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/catch.h"

namespace secondsource {
namespace {

TEST_CASE("every code of E8M0 but one is a power of two, and its code is found again") {
  for (int code = 0; code < 255; ++code) {
    const E8m0 power{static_cast<std::uint8_t>(code)};
    CHECK(to_float(power) == std::ldexp(1.0F, code - 127));
    CHECK(to_e8m0(to_float(power)).bits == code);
  }
  CHECK(std::isnan(to_float(E8m0{255})));
}

TEST_CASE("numbers are rounded up to powers of two") {
  // The expected value is computed with std::frexp().
  const auto expected = [](float value) {
    int exponent = 0;
    const float fraction = std::frexp(value, &exponent);
    return std::ldexp(1.0F, std::max(fraction == 0.5F ? exponent - 1 : exponent, -126));
  };
  for (int exponent = -149; exponent <= 126; ++exponent) {
    const float power = std::ldexp(1.0F, exponent);
    for (const float value : {power, std::nextafter(power, 0.0F), std::nextafter(power, INFINITY), 1.5F * power}) {
      if (value == 0.0F) continue;
      CAPTURE(value);
      CHECK(round_up_to_power_of_two(value) == expected(value));
    }
  }
  CHECK(round_up_to_power_of_two(0.0F) == 0.0F);
  CHECK(round_up_to_power_of_two(std::ldexp(1.0F, 127)) == std::ldexp(1.0F, 127));
  CHECK(round_up_to_power_of_two(INFINITY) == INFINITY);
  CHECK(std::isnan(round_up_to_power_of_two(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace secondsource
