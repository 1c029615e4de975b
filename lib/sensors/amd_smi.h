#pragma once
// AMD SMI, the successor of ROCm SMI: the sensors of one GPU. It is opened at run time; the prototypes of the few functions
// used are declared in amd_smi.cpp. Source: amdsmi.h 26.0 (ROCm 7.0) and 26.5, which agree in what is used here. Earlier
// versions have other structs; their systems also have ROCm SMI.

#include <memory>
#include <string>
#include <vector>

#include "backend_kit/device_sensors.h"

namespace secondsource {

/// Sonames. The number is AMD SMI's major version, which changes with its structs.
[[nodiscard]] std::vector<std::string> amd_smi_names();

/// The sensors of the GPU at a PCI bus id ("0000:c1:00.0"); its partitions share them. Errors: kUnavailable, also for a
/// library of another major version.
[[nodiscard]] Result<std::unique_ptr<DeviceSensors>> open_amd_smi(const std::string& pci_bus_id,
                                                                  const std::vector<std::string>& libraries);

}  // namespace secondsource
