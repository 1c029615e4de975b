#include "systems/wait_until.h"

#include <chrono>
#include <thread>

#include "core/clock.h"

namespace secondsource {

void wait_until(std::int64_t at_ns) {
  constexpr std::int64_t kSpinNs = 100'000;
  const std::int64_t left_ns = at_ns - now_ns();
  if (left_ns > kSpinNs) std::this_thread::sleep_for(std::chrono::nanoseconds(left_ns - kSpinNs));
  while (now_ns() < at_ns) {
  }
}

}  // namespace secondsource
