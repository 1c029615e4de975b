#pragma once
// The host's own sensors, from /proc and /sys.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "measure/host_files.h"
#include "measure/host_usage.h"
#include "measure/telemetry.h"

namespace secondsource {

/// host_cpu_utilisation (all CPUs, 0 to 1), host_cpu_utilisation_max (the busiest one), host_other_cpu_share,
/// process_cpu_utilisation (CPUs that this process kept busy), process_rss_bytes, process_faults_per_s,
/// process_switches_per_s, host_frequency_hz (mean over CPUs), host_power_w (RAPL packages).
class HostTelemetry final : public TelemetrySource {
 public:
  explicit HostTelemetry(HostFiles files = HostFiles());
  std::vector<TelemetryReading> read() override;

 private:
  struct CpuTicks {
    std::int64_t busy = 0;
    std::int64_t total = 0;
  };
  std::vector<CpuTicks> read_cpu_ticks() const;
  TelemetryReading frequency() const;
  TelemetryReading power(double elapsed_s);

  HostFiles files_;
  std::int64_t last_ns_ = 0;
  HostUsage last_usage_;
  std::vector<CpuTicks> last_ticks_;
  std::optional<std::int64_t> last_energy_uj_;
};

/// A backend's device as a source: whatever Backend::read_telemetry() gives.
class BackendTelemetry final : public TelemetrySource {
 public:
  explicit BackendTelemetry(const Backend& backend) : backend_(backend) {}
  std::vector<TelemetryReading> read() override { return backend_.read_telemetry(); }

 private:
  const Backend& backend_;
};

}  // namespace secondsource
