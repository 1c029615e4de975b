#include "measure/arrivals.h"

#include <cmath>
#include <numbers>

#include "core/check.h"
#include "core/random.h"

namespace secondsource {
namespace {

double standard_normal(RandomStream& stream) {
  // The method of Box and Muller, Annals of Mathematical Statistics 29, 1958. 1 - u is never 0.
  const double radius = std::sqrt(-2 * std::log1p(-stream.next_unit()));
  return radius * std::cos(2 * std::numbers::pi * stream.next_unit());
}

/// Draws from Gamma(shape, 1) by the method of Marsaglia and Tsang, ACM TOMS 26, 2000; for shapes below 1 by their
/// section 6.
double gamma_variate(RandomStream& stream, double shape) {
  if (shape < 1) {
    const double boosted = gamma_variate(stream, shape + 1);
    return boosted * std::pow(1 - stream.next_unit(), 1 / shape);
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = standard_normal(stream);
    const double v = std::pow(1 + c * x, 3);
    const double u = 1 - stream.next_unit();
    if (v > 0 && std::log(u) < x * x / 2 + d - d * v + d * std::log(v)) return d * v;
  }
}

/// The gap before request `index`, in units of the mean gap.
double relative_gap(const ArrivalPlan& plan, std::uint64_t index) {
  switch (plan.kind) {
    case ArrivalKind::kPoisson:
      return -std::log1p(-random_unit(plan.seed, index));
    case ArrivalKind::kGamma: {
      RandomStream stream(random_bits(plan.seed, index));
      return gamma_variate(stream, plan.burstiness) / plan.burstiness;
    }
    case ArrivalKind::kConstant:
      return 1;
    case ArrivalKind::kTrace:
      break;
  }
  SS_CHECK(false, "a trace brings its own arrivals");
  return 0;
}

}  // namespace

std::vector<std::int64_t> arrival_offsets_ns(const ArrivalPlan& plan) {
  SS_CHECK(plan.rate_per_s > 0.0 && plan.burstiness > 0.0, "arrivals have a positive rate and shape");
  std::vector<std::int64_t> offsets;
  offsets.reserve(static_cast<std::size_t>(plan.n_requests));
  double at_s = 0.0;
  for (std::int32_t index = 0; index < plan.n_requests; ++index) {
    at_s += relative_gap(plan, static_cast<std::uint64_t>(index)) / plan.rate_per_s;
    offsets.push_back(static_cast<std::int64_t>(std::llround(at_s * 1e9)));
  }
  return offsets;
}

}  // namespace secondsource
