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
  /// Fewer steal ticks (1/100 s each) are not a finding, because a whole tick is charged to whoever has the CPU at its
  /// end.
  std::int64_t fewest_steal_ticks = 3;
  double quota_suspect = 0.01;
  double major_faults_per_s = 10;
  /// Below this number of pages read from a disk, a repetition is suspect at most: in a repetition of 50 ms a single
  /// page is already 20 per second, and the other repetitions show how much it cost.
  std::int64_t fewest_major_faults = 10;
  double frequency_suspect = 0.03;
  double frequency_invalid = 0.10;
};
SS_FIELDS(HostCheckLimits, noise_suspect, noise_invalid, steal_suspect, steal_invalid, fewest_steal_ticks,
          quota_suspect, major_faults_per_s, fewest_major_faults, frequency_suspect, frequency_invalid)

/// The repetition between the two states of the host.
struct MeasuredTime {
  double wall_s = 0;  ///< from the first reading of the host's counters to the second
  /// False for a client of another process (SystemUnderTest::computes_here). Its threads sleep most of the time, so what
  /// they lost is a share of the whole repetition and not of the little time in which they were ready to run.
  bool computes_here = true;
};

/// "foreign_cpu", "steal", "cpu_quota", "page_faults", "swap", "throttling", "clock_settings" and "frequency".
/// `telemetry` holds the snapshots taken between the two states.
[[nodiscard]] std::vector<CheckRecord> check_host(const HostState& before, const HostState& after, MeasuredTime time,
                                                  std::span<const TelemetrySnapshot> telemetry,
                                                  const HostCheckLimits& limits);

/// Downgrades INVALID checks to suspect if neighbours may explain them and another check found the repetition
/// disturbed. This concerns "warm_up", because the time per token falls when a neighbour stops, as it does when a
/// system becomes warm; and "timestamps" with few readings, because a load generator that waits for a CPU records a
/// token too late. check_timestamps() itself reports these as suspect if the difference is no longer than a wait that
/// none of these checks can see.
void excuse_by_neighbours(std::vector<CheckRecord>& checks);

}  // namespace secondsource
