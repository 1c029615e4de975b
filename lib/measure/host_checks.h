#pragma once
// Checks on what the host did during a measurement, from its counters before and after. docs/checks.md has the table,
// with the reason for every limit.

#include <span>
#include <vector>

#include "measure/host_state.h"
#include "measure/telemetry.h"
#include "report/records.h"

namespace secondsource {

struct HostCheckLimits {
  /// With `noise_invalid` for what others do to the machine (--noise-limit); at 1 neither they, nor the hypervisor, nor
  /// a clock that follows them makes anything invalid.
  static HostCheckLimits for_noise(double noise_invalid);
  /// Suspect above this share of its time that the process waited for a CPU which something else had; what the gate
  /// leaves out of its interval.
  double noise_suspect = 0.02;
  /// Invalid above this one.
  double noise_invalid = 0.90;
  double steal_suspect = 0.01;
  double steal_invalid = 0.25;
  double quota_suspect = 0.01;
  double major_faults_per_s = 10;
  double frequency_suspect = 0.03;
  double frequency_invalid = 0.10;
};

/// "foreign_cpu", "steal", "cpu_quota", "page_faults", "swap", "throttling", "clock_settings" and "frequency".
/// `telemetry`: readings between the two.
[[nodiscard]] std::vector<CheckRecord> check_host(const HostState& before, const HostState& after, double wall_s,
                                                  std::span<const TelemetrySnapshot> telemetry,
                                                  const HostCheckLimits& limits);

}  // namespace secondsource
