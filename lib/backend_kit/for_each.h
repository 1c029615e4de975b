#pragma once
// A parallel loop that the caller provides: it lets code of this folder use the threads of a backend.

#include <cstdint>
#include <functional>

namespace secondsource {

/// Calls body(i) for every i in [0, n), in any order and on any number of threads, and returns when all calls are done.
using ForEach = std::function<void(std::int64_t n, const std::function<void(std::int64_t)>& body)>;

/// Runs the calls one after the other on the calling thread.
inline void for_each_on_caller(std::int64_t n, const std::function<void(std::int64_t)>& body) {
  for (std::int64_t i = 0; i < n; ++i) body(i);
}

/// Runs the calls on up to `n_threads` threads: the calling one, and others that are started for one loop and joined at its end. For
/// loops of milliseconds and more, in code that has no pool of threads. The body must not throw.
[[nodiscard]] ForEach for_each_on_threads(std::int64_t n_threads);

}  // namespace secondsource
