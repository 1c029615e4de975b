#include "core/interrupt.h"

#include <signal.h>

#include <cerrno>
#include <utility>

#include "core/clock.h"

namespace secondsource {

void InterruptFlag::pause() noexcept {
  const int errno_of_interrupted_code = errno;
  const std::int64_t stopped_ns = now_ns();
  signal_groups(SIGTSTP);
  ::raise(SIGSTOP);
  paused_ns_.fetch_add(now_ns() - stopped_ns, std::memory_order_relaxed);
  signal_groups(SIGCONT);
  errno = errno_of_interrupted_code;
}

void InterruptFlag::signal_groups(int signal) const noexcept {
  for (const std::atomic<pid_t>& place : groups_) {
    if (const pid_t group = place.load(); group > 0) ::kill(-group, signal);
  }
}

PausedWithUs::PausedWithUs(const InterruptFlag& interrupt, pid_t group) {
  for (std::atomic<pid_t>& place : interrupt.groups_) {
    pid_t free = 0;
    if (!place.compare_exchange_strong(free, group)) continue;
    place_ = &place;
    return;
  }
}

PausedWithUs::PausedWithUs(PausedWithUs&& other) noexcept : place_(std::exchange(other.place_, nullptr)) {}

PausedWithUs::~PausedWithUs() {
  if (place_ != nullptr) place_->store(0);
}

}  // namespace secondsource
