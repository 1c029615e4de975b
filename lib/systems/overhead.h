#pragma once
// The cost of measuring: load generator and timer run over the null system, which takes no time of its own.

#include <cstdint>

#include "core/result.h"
#include "measure/limit_checks.h"

namespace secondsource {

/// Takes some ten milliseconds. Fits total = requests * a + tokens * b to runs with short and with long requests, one
/// at a time and sixteen at once. Each run counts with the shortest of several attempts, since disturbances only add
/// time.
Result<HarnessCost> measure_harness_overhead();

}  // namespace secondsource
