#pragma once
// The user's requests to stop (Ctrl-C, a closed terminal), as a flag that long work checks, and to pause (Ctrl-Z).

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "core/result.h"

namespace secondsource {

/// The longest wait before an interrupt flag is checked again.
inline constexpr std::int64_t kInterruptPeriodNs = 200'000'000;

/// Set by the program's signal handlers (SIGINT, SIGTERM, SIGHUP: request(); SIGTSTP: pause()), read by the library.
class InterruptFlag {
 public:
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }
  /// Fails with kInterrupted once the stop was requested; for SS_TRY_VOID between two pieces of work.
  [[nodiscard]] Result<void> check() const {
    if (requested()) return Error{ErrorCode::kInterrupted, "interrupted"};
    return {};
  }

  /// Stops this process, and before it the process groups that are PausedWithUs; returns when it is continued. May be
  /// called in a signal handler.
  void pause() noexcept;
  /// How long pause() has stopped this process so far. What is timed subtracts it; what was measured while it changed
  /// is measured again.
  [[nodiscard]] std::int64_t paused_ns() const noexcept { return paused_ns_.load(std::memory_order_relaxed); }

 private:
  friend class PausedWithUs;
  void signal_groups(int signal) const noexcept;

  std::atomic<bool> requested_{false};
  std::atomic<std::int64_t> paused_ns_{0};
  /// Process groups, 0 in a free place. An array of atomics, because a signal handler may neither lock nor allocate.
  mutable std::array<std::atomic<pid_t>, 64> groups_{};
};

/// While an object of this class lives, a process group is stopped and continued together with this process.
class PausedWithUs {
 public:
  PausedWithUs(const InterruptFlag& interrupt, pid_t group);
  ~PausedWithUs();
  PausedWithUs(PausedWithUs&& other) noexcept;
  PausedWithUs& operator=(PausedWithUs&&) = delete;

 private:
  std::atomic<pid_t>* place_ = nullptr;  ///< null if all places were taken: then the group is not stopped
};

}  // namespace secondsource
