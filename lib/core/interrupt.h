#pragma once
// "The user asked to stop", as a value that long work looks at between its pieces.

#include <atomic>

#include "core/result.h"

namespace secondsource {

/// Set by the program's signal handler (SIGINT, SIGTERM), read by the library.
class InterruptFlag {
 public:
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }
  /// kInterrupted once requested; for SS_TRY_VOID between two pieces of work.
  [[nodiscard]] Result<void> check() const {
    if (requested()) return Error{ErrorCode::kInterrupted, "interrupted"};
    return {};
  }

 private:
  std::atomic<bool> requested_{false};
};

}  // namespace secondsource
