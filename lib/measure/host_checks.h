#pragma once
// Checks whether the host disturbed a measurement, from its counters before and after. docs/checks.md has the table,
// with the reason for every limit.

#include <span>
#include <vector>

#include "core/fields.h"
#include "host/host_state.h"
#include "host/telemetry.h"
#include "record/records.h"

namespace secondsource {

struct HostCheckLimits {
  /// The default limits with `noise_invalid` set (--noise-limit). If it is 1, neither other processes, nor the
  /// hypervisor, nor a clock that follows their load makes a measurement invalid.
  static HostCheckLimits for_noise(double noise_invalid);
  /// A measurement is suspect if the process waited for more than this share of its time for a CPU that was in use by
  /// something else. The gate ignores disturbances below it.
  double noise_suspect = 0.02;
  /// A measurement is invalid above this share.
  double noise_invalid = 0.90;
  double steal_suspect = 0.01;
  double steal_invalid = 0.25;
  /// Fewer ticks of a hundredth of a second are no finding: a tick is charged whole to whoever has the CPU at its end.
  std::int64_t fewest_steal_ticks = 3;
  double quota_suspect = 0.01;
  double major_faults_per_s = 10;
  /// Fewer pages read from a disk than this are suspect at most: one in a repetition of 50 ms is a rate of 20 per second by
  /// chance, and the other repetitions show how much it cost.
  std::int64_t fewest_major_faults = 10;
  double frequency_suspect = 0.03;
  double frequency_invalid = 0.10;
};
SS_FIELDS(HostCheckLimits, noise_suspect, noise_invalid, steal_suspect, steal_invalid, fewest_steal_ticks,
          quota_suspect, major_faults_per_s, fewest_major_faults, frequency_suspect, frequency_invalid)

/// "foreign_cpu", "steal", "cpu_quota", "page_faults", "swap", "throttling", "clock_settings" and "frequency".
/// `telemetry` holds the snapshots taken between the two states.
[[nodiscard]] std::vector<CheckRecord> check_host(const HostState& before, const HostState& after, double wall_s,
                                                  std::span<const TelemetrySnapshot> telemetry,
                                                  const HostCheckLimits& limits);

/// Makes INVALID checks suspect that neighbours may explain, if one of the other checks found the repetition disturbed:
/// "warm_up", because a neighbour who stops makes the time per token fall, as a system does that becomes warm; and
/// "timestamps" of few readings, because a load generator that waits for a CPU notes a token too late. check_timestamps() calls
/// them suspect itself where the difference is no longer than a wait that none of these checks can see.
void excuse_by_neighbours(std::vector<CheckRecord>& checks);

}  // namespace secondsource
