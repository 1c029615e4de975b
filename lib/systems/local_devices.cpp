#include "systems/local_devices.h"

#include <utility>

#include "sensors/join_readings.h"
#include "serving/telemetry_place.h"

namespace secondsource {

LocalDevices::LocalDevices(std::vector<GpuId> ids, const GpuPlaces& places) {
  if (ids.empty()) {
    Result<std::vector<GpuId>> found = local_gpus(places);
    if (!found) {
      sensors_.push_back(absent_sensors(found.error().message));
      return;
    }
    ids = *std::move(found);
  }
  for (const GpuId& id : ids) sensors_.push_back(open_gpu_sensors(id, places));
}

std::vector<TelemetryReading> LocalDevices::read() {
  std::vector<std::vector<TelemetryReading>> of_devices;
  of_devices.reserve(sensors_.size());
  for (const auto& sensors : sensors_) of_devices.push_back(sensors->read());
  std::vector<TelemetryReading> readings = join_readings(of_devices);
  std::erase_if(readings,
                [](const TelemetryReading& reading) { return reading.name == "process_device_memory_bytes"; });
  return readings;
}

std::unique_ptr<LocalDevices> local_devices_of(std::string_view place) {
  auto ids = local_gpu_ids(place);
  return ids ? std::make_unique<LocalDevices>(*std::move(ids)) : nullptr;
}

}  // namespace secondsource
