#pragma once
// A loop that may run on any threads: how work of lib/backend comes to the threads of a backend.

#include <cstdint>
#include <functional>

namespace secondsource {

/// Calls body(i) for every i in [0, n), in any order and on as many threads as it likes, and returns when all are done.
using ForEach = std::function<void(std::int64_t n, const std::function<void(std::int64_t)>& body)>;

/// One after the other.
inline void for_each_on_caller(std::int64_t n, const std::function<void(std::int64_t)>& body) {
  for (std::int64_t i = 0; i < n; ++i) body(i);
}

}  // namespace secondsource
