#pragma once
// Decides when the requests of an open loop arrive: before the first one is sent and from a seed alone, so that a slow
// system cannot slow down its own load (no coordinated omission). Recorded arrivals are in arrival_trace.h.

#include <cstdint>
#include <vector>

#include "record/records.h"

namespace secondsource {

struct ArrivalPlan {
  ArrivalKind kind = ArrivalKind::kPoisson;  ///< not kTrace
  double rate_per_s = 1.0;                   ///< > 0, on average
  double burstiness = 1.0;                   ///< kGamma: the shape parameter, > 0
  std::int32_t n_requests = 0;
  std::uint64_t seed = 0;
};

/// Offsets from the start, ascending; the first request arrives after the first gap. Gap i depends on the seed and on i
/// alone:
///   kPoisson   -ln(1 - u) / rate: exponential, coefficient of variation 1
///   kGamma     Gamma(shape, 1 / (rate * shape)): mean 1 / rate, coefficient of variation 1 / sqrt(shape); the
///              same as vLLM's --burstiness
///   kConstant  1 / rate
[[nodiscard]] std::vector<std::int64_t> arrival_offsets_ns(const ArrivalPlan& plan);

}  // namespace secondsource
