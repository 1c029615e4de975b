#pragma once
// NVML, NVIDIA's management library: lists devices and MIG instances and reads their sensors. It is opened at run time and
// needs the driver, but no CUDA; the prototypes of the few functions used are declared in nvml.cpp. Source: nvml.h of the
// NVML API reference, versions 11.8 to 13.

#include <memory>
#include <string>
#include <vector>

#include "backend_kit/device_sensors.h"
#include "core/result.h"
#include "core/shared_library.h"

namespace secondsource {

/// A whole GPU, or a MIG instance.
struct NvmlDevice {
  std::string uuid;    ///< "GPU-...", "MIG-...": what CUDA_VISIBLE_DEVICES takes
  std::string name;    ///< "NVIDIA H100 80GB HBM3"; of an instance "... MIG 1g.10gb"
  std::string target;  ///< "sm_90"; empty if the driver does not report it
  std::int64_t memory_bytes = 0;
  std::string parent;          ///< UUID of the GPU that an instance is a part of; empty for a whole one
  bool has_instances = false;  ///< MIG mode is on, so no work can run on the whole GPU
};

class Nvml {
 public:
  /// Errors: kUnavailable if the library is absent or cannot reach the driver.
  static Result<std::shared_ptr<const Nvml>> open(const std::string& library = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  /// GPUs in the driver's order (that of the PCI bus), each followed by its instances. Errors: kUnavailable.
  [[nodiscard]] Result<std::vector<NvmlDevice>> devices() const;

 private:
  friend class NvmlSensors;
  explicit Nvml(SharedLibrary library) : library_(std::move(library)) {}
  SharedLibrary library_;
};

/// The sensors of the GPU or MIG instance with this UUID. If they cannot be opened, every reading carries the reason. An
/// instance has its own memory reading; all others are those of the whole GPU, which the property `mig` states.
[[nodiscard]] std::unique_ptr<DeviceSensors> open_nvml_sensors(const std::string& uuid,
                                                               const std::string& library = "libnvidia-ml.so.1");

}  // namespace secondsource
