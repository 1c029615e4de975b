#pragma once
// When the requests of an open loop arrive: decided before the first one is sent, from a seed alone, so that a slow
// system cannot slow its own load down (no coordinated omission).

#include <cstdint>
#include <vector>

namespace secondsource {

/// Arrivals of a Poisson process.
struct PoissonArrivals {
  double rate_per_s = 1.0;  ///< > 0
  std::int32_t n_requests = 0;
  std::uint64_t seed = 0;
};

/// Offsets from the start, ascending: gap i is -ln(1 - u_i) / rate, u_i = random_unit(seed, i). The first request
/// arrives after the first gap.
[[nodiscard]] std::vector<std::int64_t> arrival_offsets_ns(const PoissonArrivals& arrivals);

}  // namespace secondsource
