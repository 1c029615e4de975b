#pragma once
// What measuring costs: the load generator and the timer over the null system, which takes no time of its own.

#include <cstdint>

#include "core/result.h"
#include "measure/limit_checks.h"

namespace secondsource {

/// Takes some ten milliseconds. Fits total = requests * a + tokens * b to runs of short and of long requests, one at a
/// time and sixteen at once; the best of several runs of each, since a disturbance only ever adds.
Result<HarnessCost> measure_harness_overhead();

}  // namespace secondsource
