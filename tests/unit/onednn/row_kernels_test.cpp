#include "onednn/row_kernels.h"

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.h"

namespace secondsource::onednn {
namespace {

// The expected values are x / (1 + e^-2y) with y = sqrt(2 / pi) (x + 0.044715 x^3), computed to 60 digits with Python's decimal.
TEST_CASE("gelu keeps its digits in the negative tail, where 1 + tanh cancels") {
  std::vector<float> x = {-9.0F, -6.5F, -4.0F, -2.0F, -0.25F, -1e-4F, 0.0F, 1e-4F, 0.5F, 3.0F, 12.0F};
  const std::vector<double> expected = {
      -1.33645959e-28, -6.27825877e-13, -7.02459482e-05, -0.0454023059, -0.100324649, -4.99960093e-05, 0.0,
      5.00039882e-05,  0.34571401,      2.99636261,      12.0};
  gelu_row(x, {});
  for (std::size_t i = 0; i < x.size(); ++i) {
    CAPTURE(i, x[i], expected[i]);
    // The exponential's argument is rounded to f32. Its magnitude, 129 at x = -9, multiplies the relative error.
    CHECK(std::fabs(static_cast<double>(x[i]) - expected[i]) <= 2e-5 * std::fabs(expected[i]));
  }
}

TEST_CASE("gelu multiplies by the ups, ends at 0 and keeps NaN") {
  std::vector<float> x = {3.0F, -4.0F, -1e20F, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<float> up = {2.0F, -1.0F, 5.0F, 1.0F};
  gelu_row(x, up);
  CHECK(x[0] == Approx(5.99272522));
  CHECK(x[1] == Approx(7.02459482e-05));
  CHECK(x[2] == 0.0F);
  CHECK(std::isnan(x[3]));
}

TEST_CASE("rows are quantized to int8 by a stored scale from -128 on, or by their own from -127 on") {
  const std::vector<float> x = {0.25F, 0.75F, -1.25F, -63.75F, -64.25F, -100.0F, 63.25F, 63.75F, 3e38F, -3e38F, 0.0F};
  std::vector<std::int8_t> q(x.size());
  CHECK(quantize_row(x, 0.5F, q.data()) == 0.5F);
  CHECK(q == std::vector<std::int8_t>{0, 2, -2, -128, -128, -128, 126, 127, 127, -128, 0});
  CHECK(quantize_row(x, 1e-30F, q.data()) == 1e-30F);
  CHECK(q == std::vector<std::int8_t>{127, 127, -128, -128, -128, -128, 127, 127, 127, -128, 0});
  CHECK(quantize_row(x, 0.0F, q.data()) == 3e38F / 127.0F);
  CHECK(q == std::vector<std::int8_t>{0, 0, 0, 0, 0, 0, 0, 0, 127, -127, 0});
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    CHECK(std::isnan(quantize_row(std::vector<float>{1.0F, bad, 2.0F}, 0.5F, q.data())));
  }
}

}  // namespace
}  // namespace secondsource::onednn
