#pragma once
// A GPU through its vendor's runtime, CUDA or HIP: compiled into each module with api.h's choice.

#include <memory>
#include <string>
#include <vector>

#include "backend_kit/device_sensors.h"
#include "gpu/device.h"
#include "gpu/host/process_memory.h"

namespace secondsource::gpu::runtime {

/// What tells devices apart before one is opened.
struct DeviceSummary {
  int ordinal = 0;  ///< among those that this process may see
  DeviceProperties properties;
  std::string uuid;        ///< "GPU-..." as NVML writes it; empty where the runtime has none
  std::string pci_bus_id;  ///< "0000:c1:00.0"
};

/// The devices that this process may see; makes no context. Errors: kUnavailable, in the runtime's words.
[[nodiscard]] Result<std::vector<DeviceSummary>> list_devices();

/// Versions of the runtime and of what the driver offers, "13.0" each.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> runtime_versions();

/// Makes the device's context. The sensors' properties go into the fingerprint; `read_sensors` reads them, from any
/// thread, for as long as the device lives, to know what this process holds. Errors: kDeviceLost, kOutOfMemory.
[[nodiscard]] Result<std::unique_ptr<Device>> open_device(const DeviceSummary& summary, const DeviceSensors& sensors,
                                                          ProcessMemory::ReadSensors read_sensors);

}  // namespace secondsource::gpu::runtime
