// Tests the busy-machine check on made-up shares of CPU time, so that no machine has to be busy.
#include "ab/busy_machine.h"

#include <vector>

#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

constexpr BusyLook kShort{.window_ns = 1'000'000, .longest_ns = 5'000'000};

/// Hands out the shares one after the other and counts how many were asked for.
struct GivenShares {
  std::vector<std::optional<double>> shares{};
  std::size_t n_asked = 0;

  Result<void> check(double max_share, const InterruptFlag& interrupt = {}) {
    SilentProgress progress;
    return check_machine_is_free(
        max_share, [&] { return shares.at(n_asked++); }, kShort, progress, interrupt);
  }
};

}  // namespace

TEST_CASE("a comparison begins as soon as one window is free enough") {
  GivenShares at_once{{0.25}};
  CHECK(at_once.check(0.6).has_value());
  CHECK(at_once.n_asked == 1);
  GivenShares later{{0.9, 1.0, 0.6, 1.0, 1.0}};
  CHECK(later.check(0.6).has_value());
  CHECK(later.n_asked == 3);
  GivenShares unknown{{std::nullopt}};
  CHECK(unknown.check(0.6).has_value());
}

TEST_CASE("a machine that is busy in every window cannot decide, and the message has the median share") {
  GivenShares busy{{0.9, 0.7, 0.8, 1.0, 0.61}};
  CHECK_ERROR(busy.check(0.6), ErrorCode::kInconclusive,
              "cannot decide here: other processes took 80 % of all CPUs for 0 s, and at most 60 % are allowed");
  CHECK(busy.n_asked == 5);
}

TEST_CASE("an interrupt ends the look at the machine") {
  InterruptFlag interrupt;
  interrupt.request();
  GivenShares busy{{1.0, 1.0, 1.0, 1.0, 1.0}};
  CHECK_ERROR(busy.check(0.6, interrupt), ErrorCode::kInterrupted, "interrupted");
  CHECK(busy.n_asked == 0);
}
