#include "measure/arrivals.h"

#include <cmath>

#include "core/check.h"
#include "core/random.h"

namespace secondsource {

std::vector<std::int64_t> arrival_offsets_ns(const PoissonArrivals& arrivals) {
  SS_CHECK(arrivals.rate_per_s > 0.0, "a Poisson process has a positive rate");
  std::vector<std::int64_t> offsets;
  offsets.reserve(static_cast<std::size_t>(arrivals.n_requests));
  double at_s = 0.0;
  for (std::int32_t index = 0; index < arrivals.n_requests; ++index) {
    const double unit = random_unit(arrivals.seed, static_cast<std::uint64_t>(index));
    at_s += -std::log1p(-unit) / arrivals.rate_per_s;
    offsets.push_back(static_cast<std::int64_t>(std::llround(at_s * 1e9)));
  }
  return offsets;
}

}  // namespace secondsource
