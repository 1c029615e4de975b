#pragma once
// The GPUs of this machine whose sensors can be read, of every vendor: for systems that compute on them without being a
// backend of this program.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "backend_kit/device_sensors.h"
#include "core/result.h"
#include "sensors/amd_sensors.h"

namespace secondsource {

/// Where the GPUs are looked for; tests put stand-ins here.
struct GpuPlaces {
  std::string nvml = "libnvidia-ml.so.1";
  SensorLibraries amd{};
  std::filesystem::path amd_driver =
      "/sys/bus/pci/drivers/amdgpu";  ///< has an entry for each GPU, named for its PCI bus id
};

/// How a GPU is named: for NVIDIA the UUID that nvidia-smi -L prints, of a GPU or of a MIG instance; for AMD the PCI bus id
/// ("0000:c1:00.0").
using GpuId = std::string;

/// NVIDIA's GPUs in the driver's order, with the instances in place of partitioned GPUs; then AMD's by PCI bus id.
/// Errors: kUnavailable if there is none, listing what was looked for.
[[nodiscard]] Result<std::vector<GpuId>> local_gpus(const GpuPlaces& places = {});

/// The sensors of that GPU. If they cannot be opened, every reading carries the reason.
[[nodiscard]] std::unique_ptr<DeviceSensors> open_gpu_sensors(const GpuId& id, const GpuPlaces& places = {});

}  // namespace secondsource
