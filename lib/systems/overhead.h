#pragma once
// What measuring costs: the load generator and the timer over the null system, which takes no time of its own.

#include <cstdint>

#include "core/result.h"

namespace secondsource {

struct HarnessOverhead {
  double ns_per_request = 0;  ///< beyond its tokens
  double ns_per_token = 0;
};

/// Takes some ten milliseconds. Fits total = requests * a + tokens * b to runs of short and of long requests; the best of
/// several runs of each, since a disturbance only ever adds.
Result<HarnessOverhead> measure_harness_overhead();

}  // namespace secondsource
