#pragma once

namespace secondsource::gpu::shim {

/// An object whose address orders fibers for ThreadSanitizer (release_order, acquire_order). Repeated barriers alternate
/// between two of them, so that a thread arriving at the next barrier is not ordered before one still leaving the last.
struct OrderPlace {
  char place = 0;
};

}  // namespace secondsource::gpu::shim
