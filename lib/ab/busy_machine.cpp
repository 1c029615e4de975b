#include "ab/busy_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "host/host_usage.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

/// Sleeps in pieces, so that an interrupt is obeyed.
Result<void> sleep_for(std::int64_t duration_ns, const InterruptFlag& interrupt) {
  for (std::int64_t left_ns = duration_ns; left_ns > 0; left_ns -= kInterruptPeriodNs) {
    SS_TRY_VOID(interrupt.check());
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(left_ns, kInterruptPeriodNs)));
  }
  return {};
}

}  // namespace

OthersShare others_share_of_host() {
  auto before = std::make_shared<HostUsage>(read_host_usage(HostFiles()));
  return [before] {
    const HostUsage after = read_host_usage(HostFiles());
    const auto share = others_cpu_share(*before, after);
    *before = after;
    return share;
  };
}

Result<void> check_machine_is_free(double max_share, const OthersShare& others_share, const BusyLook& look,
                                   Progress& progress, const InterruptFlag& interrupt) {
  const std::int64_t n_windows = std::max<std::int64_t>(1, look.longest_ns / look.window_ns);
  std::vector<double> shares;
  progress.begin("looking whether the machine is free", n_windows);
  for (std::int64_t i = 0; i < n_windows; ++i) {
    SS_TRY_VOID(sleep_for(look.window_ns, interrupt));
    const auto share = others_share();
    if (!share || *share <= max_share) return {};
    shares.push_back(*share);
    progress.update(i + 1);
  }
  return Error{
      ErrorCode::kInconclusive,
      fmt::format("cannot decide here: other processes took {1:.0f} % of all CPUs for {0:.0f} s, and at most "
                  "{2:.0f} % are allowed (--max-others)",
                  1e-9 * static_cast<double>(n_windows * look.window_ns), 100 * *median(shares), 100 * max_share)};
}

Result<void> check_host_is_free(double max_share, std::string_view what_is_left, Progress& progress,
                                const InterruptFlag& interrupt) {
  Result<void> is_free = check_machine_is_free(max_share, others_share_of_host(), {}, progress, interrupt);
  if (is_free || is_free.error().code != ErrorCode::kInconclusive) return is_free;
  return Error{ErrorCode::kInconclusive, fmt::format("{}; {}", is_free.error().message, what_is_left)};
}

}  // namespace secondsource
