#include "measure/host_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "core/counted.h"
#include "measure/request_checks.h"

namespace secondsource {
namespace {

using enum CheckOutcome;

CheckOutcome outcome_of(double value, double suspect, double invalid) {
  return value > invalid ? kInvalid : value > suspect ? kSuspect : kPassed;
}

struct Verdict {
  CheckOutcome outcome = kPassed;
  std::string detail;
  std::optional<double> lost = {};  ///< as in CheckRecord
};

/// Judges both readings, or reports why one of them is missing.
template <typename T, typename Judge>
CheckRecord with_both(const char* name, const Result<T>& before, const Result<T>& after, const Judge& judge) {
  if (!before) return {name, kNotAvailable, before.error().message};
  if (!after) return {name, kNotAvailable, after.error().message};
  const Verdict verdict = judge(*before, *after);
  return {name, verdict.outcome, verdict.detail, verdict.lost};
}

/// The longest time that a single thread waited between two readings.
double longest_wait_s(const HostState::Scheduling& before, const HostState::Scheduling& after) {
  double longest_s = 0;
  for (const auto& [thread, waited_s] : after.waited_s_of_thread) {
    const auto earlier = before.waited_s_of_thread.find(thread);
    const double from_s = earlier == before.waited_s_of_thread.end() ? 0 : earlier->second;
    longest_s = std::max(longest_s, waited_s - from_s);
  }
  return longest_s;
}

CheckRecord check_foreign_cpu(const HostState& before, const HostState& after, MeasuredTime time,
                              const HostCheckLimits& limits) {
  return with_both("foreign_cpu", before.scheduling, after.scheduling, [&](const auto& a, const auto& b) -> Verdict {
    const double waited_s = std::max(0.0, b.waited_s - a.waited_s);
    const double ran_s = std::max(0.0, b.ran_s - a.ran_s);
    if (!time.computes_here) {
      const double longest_s = longest_wait_s(a, b);
      const double share = time.wall_s > 0 ? std::min(1.0, longest_s / time.wall_s) : 0;
      return {outcome_of(share, limits.noise_suspect, limits.noise_invalid),
              fmt::format("a thread of the client was ready to run and waited {:.1f} % of the repetition "
                          "({:.3g} s in {:.3g} s) for a CPU that something else used",
                          100 * share, longest_s, time.wall_s),
              share};
    }
    const double share = waited_s + ran_s > 0 ? waited_s / (waited_s + ran_s) : 0;
    return {outcome_of(share, limits.noise_suspect, limits.noise_invalid),
            fmt::format("its threads were ready to run and waited {:.1f} % of the time for a CPU that something "
                        "else used",
                        100 * share),
            share};
  });
}

CheckRecord check_steal(const HostState& before, const HostState& after, const HostCheckLimits& limits) {
  return with_both("steal", before.cpu, after.cpu, [&](const CpuTicks& a, const CpuTicks& b) -> Verdict {
    const std::int64_t total = b.total - a.total;
    // /proc/stat counts hundredths of a second.
    if (ticks_to_s(total) < 0.1) return {kNotAvailable, "the repetition is too short for /proc/stat"};
    const std::int64_t stolen = b.steal - a.steal;
    const double share = static_cast<double>(stolen) / static_cast<double>(total);
    return {
        stolen < limits.fewest_steal_ticks ? kPassed : outcome_of(share, limits.steal_suspect, limits.steal_invalid),
        fmt::format("the hypervisor took {:.1f} % of the CPU time ({})", 100 * share, counted(stolen, "tick")), share};
  });
}

CheckRecord check_quota(const HostState& before, const HostState& after, double wall_s, const HostCheckLimits& limits) {
  return with_both("cpu_quota", before.quota_waited_s, after.quota_waited_s, [&](double a, double b) -> Verdict {
    const double share = wall_s > 0 ? (b - a) / wall_s : 0;
    return {share > limits.quota_suspect ? kSuspect : kPassed,
            fmt::format("the CPU quota of the control group was used up for {:.3g} s in {:.3g} s", b - a, wall_s),
            share};
  });
}

CheckRecord check_page_faults(const HostState& before, const HostState& after, double wall_s,
                              const HostCheckLimits& limits) {
  return with_both(
      "page_faults", before.major_faults, after.major_faults, [&](std::int64_t a, std::int64_t b) -> Verdict {
        const std::int64_t faults = b - a;
        const double per_s = wall_s > 0 ? static_cast<double>(faults) / wall_s : 0;
        const bool often = per_s > limits.major_faults_per_s && faults >= limits.fewest_major_faults;
        return {often        ? kInvalid
                : faults > 0 ? kSuspect
                             : kPassed,
                fmt::format("{} read from a disk, {:.3g} a second", counted(faults, "page was", "pages were"), per_s)};
      });
}

CheckRecord check_swap(const HostState& before, const HostState& after) {
  const CheckRecord host =
      with_both("swap", before.swapped_pages, after.swapped_pages, [&](std::int64_t a, std::int64_t b) -> Verdict {
        return {b > a ? kSuspect : kPassed, fmt::format("the host swapped {}", counted(b - a, "page"))};
      });
  if (!after.swapped_bytes) return {"swap", host.outcome, host.detail + "; " + after.swapped_bytes.error().message};
  if (*after.swapped_bytes == 0) return host;
  return {"swap", kInvalid,
          fmt::format("{} KiB of the process are in swap; {}", *after.swapped_bytes / 1024, host.detail)};
}

CheckRecord check_throttling(const HostState& before, const HostState& after) {
  return with_both("throttling", before.throttle_events, after.throttle_events,
                   [](std::int64_t a, std::int64_t b) -> Verdict {
                     return {b > a ? kInvalid : kPassed,
                             fmt::format("heat or power throttled the cores {}", counted(b - a, "time"))};
                   });
}

CheckRecord check_clock_settings(const HostState& before, const HostState& after) {
  return with_both(
      "clock_settings", before.clock_settings, after.clock_settings, [](const auto& a, const auto& b) -> Verdict {
        for (const auto& [name, value] : b) {
          const auto old = std::ranges::find(a, name, [](const auto& setting) { return setting.first; });
          if (old != a.end() && old->second == value) continue;
          return {kInvalid, fmt::format("{}: was {}, is {}", name, old == a.end() ? "absent" : old->second, value)};
        }
        return {a.size() == b.size() ? kPassed : kInvalid, fmt::format("{} settings, {} before", b.size(), a.size())};
      });
}

CheckRecord check_frequency(std::span<const TelemetrySnapshot> telemetry, const HostCheckLimits& limits) {
  constexpr std::size_t kFewest = 4;
  std::vector<double> readings;
  std::string why = "no reading was taken";
  for (const TelemetrySnapshot& snapshot : telemetry) {
    for (const TelemetryReading& reading : snapshot.readings) {
      if (reading.name != "host_frequency_hz_max") continue;
      if (reading.value) readings.push_back(*reading.value);
      why = reading.why_not;
    }
  }
  if (readings.empty()) return {"frequency", kNotAvailable, why};
  // The first reading is left out: it was taken when the machine came out of a pause.
  readings.erase(readings.begin());
  if (readings.size() < kFewest) {
    return {"frequency", kNotAvailable, fmt::format("needs {} readings, has {}", kFewest, readings.size())};
  }
  const auto [low, high] = std::ranges::minmax(readings);
  const double change = high > 0 ? 1 - low / high : 0;
  return {"frequency", outcome_of(change, limits.frequency_suspect, limits.frequency_invalid),
          fmt::format("the fastest core ran at {:.2f} to {:.2f} GHz", 1e-9 * low, 1e-9 * high)};
}

}  // namespace

HostCheckLimits HostCheckLimits::for_noise(double noise_invalid) {
  HostCheckLimits limits{.noise_invalid = noise_invalid};
  if (noise_invalid >= 1) limits.steal_invalid = limits.frequency_invalid = 1;
  return limits;
}

std::vector<CheckRecord> check_host(const HostState& before, const HostState& after, MeasuredTime time,
                                    std::span<const TelemetrySnapshot> telemetry, const HostCheckLimits& limits) {
  return {check_foreign_cpu(before, after, time, limits),
          check_steal(before, after, limits),
          check_quota(before, after, time.wall_s, limits),
          check_page_faults(before, after, time.wall_s, limits),
          check_swap(before, after),
          check_throttling(before, after),
          check_clock_settings(before, after),
          check_frequency(telemetry, limits)};
}

void excuse_by_neighbours(std::vector<CheckRecord>& checks) {
  constexpr std::array<std::string_view, 4> kOfNeighbours = {"foreign_cpu", "steal", "cpu_quota", "machine"};
  const bool was_disturbed = std::ranges::any_of(checks, [&](const CheckRecord& check) {
    return (check.outcome == kSuspect || check.outcome == kInvalid) &&
           std::ranges::count(kOfNeighbours, check.name) > 0;
  });
  if (!was_disturbed) return;
  for (CheckRecord& check : checks) {
    if (check.outcome != kInvalid) continue;
    const bool is_late_reading = check.name == "timestamps" && check.detail.starts_with(kFewReadings);
    if (check.name != "warm_up" && !is_late_reading) continue;
    check.outcome = kSuspect;
    check.detail += is_late_reading ? ", or a token was noted late" : ", or a neighbour stopped";
  }
}

}  // namespace secondsource
