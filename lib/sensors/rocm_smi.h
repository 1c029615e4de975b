#pragma once
// AMD's ROCm SMI: the sensors of one GPU. It is opened at run time; the prototypes of the few functions used are declared
// in rocm_smi.cpp. Source: rocm_smi.h of rocm_smi_lib 5.0 (ROCm 5.2) to 7; differences are noted where they matter.

#include <memory>
#include <string>
#include <vector>

#include "backend_kit/device_sensors.h"

namespace secondsource {

/// Sonames, newest first; Debian 12 has ".1".
[[nodiscard]] std::vector<std::string> rocm_smi_names();

/// The sensors of the GPU at a PCI bus id ("0000:c1:00.0"), which its partitions share. `why_not_amd_smi` becomes a
/// property. Errors: kUnavailable.
[[nodiscard]] Result<std::unique_ptr<DeviceSensors>> open_rocm_smi(const std::string& pci_bus_id,
                                                                   const std::vector<std::string>& libraries,
                                                                   const std::string& why_not_amd_smi);

}  // namespace secondsource
