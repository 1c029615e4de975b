#pragma once
// What the tests of the kernels share: values at odd addresses, and a comparison with a sum in f64.

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/random.h"
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

}  // namespace secondsource::cpu
