#pragma once
// The sensors of this machine's GPUs as a source of telemetry for a system that is not ours: a server that runs here, or a
// runtime behind an adapter. The record names the GPUs as "local" (all of them) or "local:ID+ID" (serving/telemetry_place.h).

#include <memory>
#include <string_view>
#include <vector>

#include "host/telemetry.h"
#include "sensors/local_gpus.h"

namespace secondsource {

class LocalDevices final : public TelemetrySource {
 public:
  /// `ids`: empty for all GPUs of this machine. Without any, every reading carries the reason.
  explicit LocalDevices(std::vector<GpuId> ids, const GpuPlaces& places = {});

  /// The readings named in device_sensors.h, joined over all GPUs (join_readings.h), except
  /// process_device_memory_bytes, because another process computes on them.
  std::vector<TelemetryReading> read() override;

 private:
  std::vector<std::unique_ptr<DeviceSensors>> sensors_;
};

/// Null where `place` names no GPUs of this machine.
[[nodiscard]] std::unique_ptr<LocalDevices> local_devices_of(std::string_view place);

}  // namespace secondsource
