#pragma once
// Waiting for a moment on the monotonic clock, to the microsecond.

#include <cstdint>

namespace secondsource {

/// Sleeps, then spins the last 100 us: a sleep alone is late by tens of microseconds, which would count as queueing.
void wait_until(std::int64_t at_ns);

}  // namespace secondsource
