#pragma once
// Waiting for a moment on the monotonic clock, to the microsecond.

#include <cstdint>

namespace secondsource {

/// Sleeps, then spins for the last 100 us. A sleep alone ends tens of microseconds late, which would be measured as
/// queueing time.
void wait_until(std::int64_t at_ns);

}  // namespace secondsource
