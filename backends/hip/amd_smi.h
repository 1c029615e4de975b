#pragma once
// AMD SMI, the successor of ROCm SMI, opened at run time, with own prototypes of the few functions that are used: the
// sensors of one GPU. Source: amdsmi.h 26.0 (ROCm 7.0) and 26.5, which agree in what is used here. Earlier versions
// have other structs; those systems have ROCm SMI, too.

#include <memory>
#include <string>
#include <vector>

#include "backend_kit/device_sensors.h"

namespace secondsource::hip {

/// Sonames: the number is AMD SMI's major version, which changes with the structs.
[[nodiscard]] std::vector<std::string> amd_smi_names();

/// The sensors of the GPU at that place of the PCI bus ("0000:c1:00.0"); partitions share them.
/// Errors: kUnavailable, also for a library of another major version.
[[nodiscard]] Result<std::unique_ptr<DeviceSensors>> open_amd_smi(const std::string& pci_bus_id,
                                                                  const std::vector<std::string>& libraries);

}  // namespace secondsource::hip
