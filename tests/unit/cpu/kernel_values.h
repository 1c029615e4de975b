#pragma once
// What the tests of the kernels share: values at odd addresses, a comparison with a sum in f64, and packed activations.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/random.h"
#include "cpu/kernels/kernel_table.h"
#include "support/catch.h"

namespace secondsource::cpu {

inline constexpr float kCanary = 12345.0F;

/// n random values in [-2, 2], one float after an aligned address, with a canary before and after them.
class Values {
 public:
  Values(std::int64_t n, std::uint64_t seed) : storage_(static_cast<std::size_t>(n) + 2, kCanary) {
    for (std::int64_t i = 0; i < n; ++i) {
      data()[i] = static_cast<float>(4.0 * random_unit(seed, static_cast<std::uint64_t>(i)) - 2.0);
    }
  }
  float* data() { return storage_.data() + 1; }
  [[nodiscard]] bool intact() const { return storage_.front() == kCanary && storage_.back() == kCanary; }

 private:
  std::vector<float> storage_;
};

inline void check_near(double found, double expected, double tolerance) {
  INFO("expected " << expected << ", found " << found);
  CHECK(std::fabs(found - expected) <= tolerance * (1.0 + std::fabs(expected)));
}

/// A block of n_rows rows of k activations, packed for `product` with zeros up to k_padded. Checks that nothing is written after it.
struct PackedRows {
  PackedRows(const KernelTable& table, const ProductKernel& product, const float* x, int n_rows, std::int64_t k,
             std::int64_t k_padded, float static_scale = 0.0F)
      : bytes(static_cast<std::size_t>(k_padded * n_rows * act_bytes(product.act)) + 1, std::byte{0x5a}),
        scales(static_cast<std::size_t>(n_rows), -1.0F) {
    table.pack({.x = x,
                .x_stride = k,
                .n_rows = n_rows,
                .k = k,
                .k_padded = k_padded,
                .vec = product.vec,
                .act = product.act,
                .static_scale = static_scale,
                .out = bytes.data(),
                .row_scales = scales.data()});
    CHECK(bytes.back() == std::byte{0x5a});
  }
  std::vector<std::byte> bytes;
  std::vector<float> scales;
};

}  // namespace secondsource::cpu
