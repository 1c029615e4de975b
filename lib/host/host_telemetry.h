#pragma once
// Telemetry of the host from /proc and /sys.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/host_files.h"
#include "host/host_state.h"
#include "host/host_usage.h"
#include "host/proc_stat.h"
#include "host/telemetry.h"

namespace secondsource {

/// Readings: host_cpu_utilisation (all CPUs, 0 to 1), host_cpu_utilisation_max (the busiest CPU), cpu<N>_utilisation
/// for each CPU that this process may use, host_other_cpu_share, process_cpu_utilisation (number of CPUs that this
/// process kept busy), process_rss_bytes, process_faults_per_s, process_switches_per_s, host_frequency_hz (mean over
/// CPUs), host_frequency_hz_max (the fastest CPU), host_power_w (RAPL packages).
class HostTelemetry final : public TelemetrySource {
 public:
  explicit HostTelemetry(HostFiles files = HostFiles(), std::vector<std::int32_t> cpus = usable_cpus());
  std::vector<TelemetryReading> read() override;

 private:
  void add_frequency(std::vector<TelemetryReading>& readings) const;
  TelemetryReading power(double elapsed_s);

  HostFiles files_;
  std::vector<std::int32_t> cpus_;
  std::int64_t last_ns_ = 0;
  HostUsage last_usage_;
  std::vector<CpuTicks> last_ticks_;
  std::optional<std::int64_t> last_energy_uj_;
};

/// Telemetry of a backend's device, as Backend::read_telemetry() returns it.
class BackendTelemetry final : public TelemetrySource {
 public:
  explicit BackendTelemetry(const Backend& backend) : backend_(backend) {}
  std::vector<TelemetryReading> read() override { return backend_.read_telemetry(); }

 private:
  const Backend& backend_;
};

}  // namespace secondsource
