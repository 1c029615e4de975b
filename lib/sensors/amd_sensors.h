#pragma once
// The sensors of an AMD GPU, read by AMD SMI, or by ROCm SMI where that cannot be used.

#include <memory>
#include <string>
#include <vector>

#include "backend_kit/device_sensors.h"
#include "sensors/amd_smi.h"
#include "sensors/rocm_smi.h"

namespace secondsource {

struct SensorLibraries {
  std::vector<std::string> amd_smi = amd_smi_names();
  std::vector<std::string> rocm_smi = rocm_smi_names();
};

/// The sensors of the GPU at a PCI bus id ("0000:c1:00.0", as hipDeviceGetPCIBusId writes it): by AMD SMI, else by ROCm
/// SMI; the properties state which one and why. If neither can be used, every reading carries the reason.
[[nodiscard]] std::unique_ptr<DeviceSensors> open_amd_sensors(const std::string& pci_bus_id,
                                                              const SensorLibraries& libraries = {});

}  // namespace secondsource
