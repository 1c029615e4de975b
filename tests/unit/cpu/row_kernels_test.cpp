// Single kernels of rows, at every length from 0 to a little more than two vectors and at odd addresses. The expected values come from
// plain loops in f64. tests/conformance compares whole operations with the reference.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/half.h"
#include "cpu/cpu_features.h"
#include "kernel_values.h"

namespace secondsource::cpu {
namespace {

TEST_CASE("every instruction set normalizes rows of every length as plain loops do") {
  for (const Isa isa : usable_isas()) {
    for (std::int64_t n = 1; n <= 33; ++n) {
      CAPTURE(std::string(to_string(isa)), n);
      Values x(n, 1);
      Values other(n, 2);
      Values weight(n, 3);
      Values sum(n, 4);
      Values out(n, 5);
      kernel_table(isa).rms_norm({.x = x.data(),
                                  .add = other.data(),
                                  .weight = weight.data(),
                                  .eps = 1e-5F,
                                  .n = n,
                                  .sum_out = sum.data(),
                                  .out = out.data()});
      double squares = 0.0;
      for (std::int64_t i = 0; i < n; ++i) squares += std::pow(double{x.data()[i]} + double{other.data()[i]}, 2);
      for (std::int64_t i = 0; i < n; ++i) {
        const double added = double{x.data()[i]} + double{other.data()[i]};
        check_near(sum.data()[i], added, 1e-6);
        check_near(out.data()[i], added * double{weight.data()[i]} / std::sqrt(squares / double(n) + 1e-5), 1e-5);
      }
      Values total(n, 2);  // the same values as `other`; it is added to the result, which replaces it
      kernel_table(isa).rms_norm({.x = sum.data(),
                                  .weight = weight.data(),
                                  .residual = total.data(),
                                  .eps = 1e-5F,
                                  .n = n,
                                  .out = total.data()});
      for (std::int64_t i = 0; i < n; ++i) check_near(total.data()[i], other.data()[i] + out.data()[i], 1e-6);
      CHECK(sum.intact());
      CHECK(out.intact());
      CHECK(total.intact());
    }
  }
}

TEST_CASE("every instruction set rotates, scales and multiplies rows of every length") {
  for (const Isa isa : usable_isas()) {
    const KernelTable& table = kernel_table(isa);
    for (std::int64_t n = 0; n <= 33; ++n) {
      CAPTURE(std::string(to_string(isa)), n);
      Values x(2 * n, 1);
      Values cos(n, 2);
      Values sin(n, 3);
      Values out(2 * n, 4);
      table.rotate(x.data(), cos.data(), sin.data(), n, out.data());
      double product = 0.0;
      for (std::int64_t i = 0; i < n; ++i) {
        const double low = x.data()[i];
        const double high = x.data()[n + i];
        check_near(out.data()[i], low * double{cos.data()[i]} - high * double{sin.data()[i]}, 1e-6);
        check_near(out.data()[n + i], high * double{cos.data()[i]} + low * double{sin.data()[i]}, 1e-6);
        product += double{cos.data()[i]} * double{sin.data()[i]};
      }
      CHECK(out.intact());
      check_near(table.dot(cos.data(), sin.data(), n), product, 1e-5);
      Values scaled(n, 5);
      table.scale_into(cos.data(), 3.0F, n, scaled.data());
      for (std::int64_t i = 0; i < n; ++i) CHECK(scaled.data()[i] == 3.0F * cos.data()[i]);
      CHECK(scaled.intact());
    }
  }
}

TEST_CASE("every instruction set rounds to BF16 half to even, NaN and infinity included") {
  const std::vector<float> special{0.0F, -0.0F, 1.00390625F, 1.01171875F, 3.4e38F, INFINITY, -INFINITY, 65504.0F};
  for (const Isa isa : usable_isas()) {
    for (std::int64_t n = 0; n <= 33; ++n) {
      CAPTURE(std::string(to_string(isa)), n);
      Values x(n, 6);
      for (std::int64_t i = 0; i < n && i < 8; ++i) x.data()[i] = special[static_cast<std::size_t>(i)];
      std::vector<std::uint16_t> out(static_cast<std::size_t>(n) + 1, 0xabcdU);
      kernel_table(isa).to_bf16(x.data(), n, out.data());
      for (std::int64_t i = 0; i < n; ++i) CHECK(out[static_cast<std::size_t>(i)] == to_bf16(x.data()[i]).bits);
      CHECK(out.back() == 0xabcdU);
    }
    const float nan = NAN;
    std::uint16_t bits = 0;
    kernel_table(isa).to_bf16(&nan, 1, &bits);
    CHECK(std::isnan(to_float(Bf16{bits})));
  }
}

double activation(Finish finish, double a) {
  if (finish == Finish::kGatedSilu) return a / (1.0 + std::exp(-a));
  return a / 2.0 * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (a + 0.044715 * a * a * a)));
}

TEST_CASE("gated epilogues follow silu and gelu over their whole range") {
  for (const Isa isa : usable_isas()) {
    for (const Finish finish : {Finish::kGatedSilu, Finish::kGatedGelu}) {
      for (std::int64_t n = 1; n <= 33; ++n) {
        CAPTURE(std::string(to_string(isa)), n);
        const std::int64_t n_tiles = 2 * ((n + 15) / 16);
        Values c(n_tiles * 16, 8);
        for (std::int64_t i = 0; i < n_tiles * 16; ++i) c.data()[i] *= i % 3 == 0 ? 60.0F : 1.0F;
        Values out(n, 9);
        kernel_table(isa).finish({.c = c.data(), .n_rows = 1, .n_cols = n, .out = out.data(), .finish = finish});
        for (std::int64_t i = 0; i < n; ++i) {
          const double gate = c.data()[i / 16 * 32 + i % 16];
          const double up = c.data()[i / 16 * 32 + 16 + i % 16];
          check_near(out.data()[i], activation(finish, gate) * up, 3e-6);
        }
        CHECK(out.intact());
      }
    }
  }
}

TEST_CASE("the soft cap keeps small values to full precision and bounds large ones") {
  for (const Isa isa : usable_isas()) {
    std::vector<float> c{1e-6F, -1e-3F, 0.1F, 1.0F, 7.4F, 7.6F, 30.0F, -100.0F, 1e9F, -1e9F, 0, 0, 0, 0, 0, 0};
    std::vector<float> out(10);
    kernel_table(isa).finish({.c = c.data(), .n_rows = 1, .n_cols = 10, .out = out.data(), .softcap = 30.0F});
    for (std::size_t i = 0; i < out.size(); ++i) {
      CAPTURE(std::string(to_string(isa)), i);
      const double expected = 30.0 * std::tanh(double{c[i]} / 30.0);
      CHECK(std::fabs(double{out[i]} - expected) <= 1e-6 * std::fabs(expected));
    }
  }
}

}  // namespace
}  // namespace secondsource::cpu
