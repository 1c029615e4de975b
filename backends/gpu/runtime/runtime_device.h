#pragma once
// A GPU through its vendor's runtime, CUDA or HIP (api.h). Compiled into each vendor's module.

#include <memory>
#include <string>
#include <vector>

#include "backend_kit/device_sensors.h"
#include "gpu/device.h"
#include "gpu/host/process_memory.h"

namespace secondsource::gpu::runtime {

/// Description of a device before it is opened.
struct DeviceSummary {
  int ordinal = 0;  ///< the runtime's number, among the visible devices
  DeviceProperties properties;
  std::string uuid;        ///< "GPU-..." in NVML's spelling; empty if the runtime has none
  std::string pci_bus_id;  ///< "0000:c1:00.0"
};

/// The devices visible to this process. Creates no context. Errors, with the runtime's text: kUnavailable if there is no driver or
/// no device; kDeviceLost if a device cannot be described.
[[nodiscard]] Result<std::vector<DeviceSummary>> list_devices();

/// Versions of the runtime and of the newest runtime that the driver supports, such as "13.0".
[[nodiscard]] std::vector<std::pair<std::string, std::string>> runtime_versions();

/// Creates the device's context. The properties of `sensors` go into the fingerprint. `read_sensors` must be callable from
/// any thread for the device's lifetime: it tells how much memory the process holds. Errors: kDeviceLost, kOutOfMemory.
[[nodiscard]] Result<std::unique_ptr<Device>> open_device(const DeviceSummary& summary, const DeviceSensors& sensors,
                                                          ProcessMemory::ReadSensors read_sensors);

}  // namespace secondsource::gpu::runtime
