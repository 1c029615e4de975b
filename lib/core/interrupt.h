#pragma once
// The user's request to stop, as a flag that long work checks between its pieces.

#include <atomic>

#include "core/result.h"

namespace secondsource {

/// Set by the signal handler of the program (SIGINT, SIGTERM), read by the library.
class InterruptFlag {
 public:
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }
  /// Fails with kInterrupted once the stop was requested; for SS_TRY_VOID between two pieces of work.
  [[nodiscard]] Result<void> check() const {
    if (requested()) return Error{ErrorCode::kInterrupted, "interrupted"};
    return {};
  }

 private:
  std::atomic<bool> requested_{false};
};

}  // namespace secondsource
