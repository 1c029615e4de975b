// A stand-in for a partitioned GPU: the arithmetic of `reference` behind two devices. "PART-b" can only be used by a
// process whose environment had SS_VISIBLE_PART=PART-b from its start, as with CUDA_VISIBLE_DEVICES and MIG.

#include <cstdlib>

#include "backend/module.h"
#include "reference/backend.h"

namespace secondsource {
namespace {

DeviceInfo part(std::string id, bool needs_environment) {
  DeviceInfo device = reference::devices()->front();
  device.backend = "partitioned";
  device.id = std::move(id);
  device.is_host = false;
  device.properties = {{"mig", needs_environment ? "instance" : "off"}};
  if (needs_environment) device.environment = {{"SS_VISIBLE_PART", device.id}};
  return device;
}

Result<std::vector<DeviceInfo>> devices() {
  return std::vector<DeviceInfo>{part("0", false), part("PART-b", true)};
}

class PartitionedBackend final : public reference::ReferenceBackend {
 public:
  explicit PartitionedBackend(DeviceInfo device) : ReferenceBackend(std::move(device), {}) {}
  [[nodiscard]] std::vector<TelemetryReading> read_telemetry() const override {
    return {{"device_power_w", 250.0, ""}, {"device_clock_hz", std::nullopt, "not available: a stand-in has no clock"}};
  }
};

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  const std::vector<DeviceInfo> known = *devices();
  const DeviceInfo& device = options.device_id == "PART-b" ? known.back() : known.front();
  for (const auto& [name, value] : device.environment) {
    const char* const found = std::getenv(name.c_str());
    if (found == nullptr || found != value) {
      return Error{ErrorCode::kUnavailable, "device PART-b is not visible to this process"};
    }
  }
  return std::unique_ptr<Backend>(std::make_unique<PartitionedBackend>(device));
}

}  // namespace
}  // namespace secondsource

SS_BACKEND_MODULE("partitioned", "a stand-in with two parts", secondsource::devices, secondsource::create)
