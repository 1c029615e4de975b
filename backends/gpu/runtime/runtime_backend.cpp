#include "gpu/runtime/runtime_backend.h"

#include <fmt/format.h>

namespace secondsource::gpu::runtime {

Result<std::unique_ptr<Backend>> create_backend(const std::string& name, const BackendOptions& options,
                                                const DeviceSummary& device, std::unique_ptr<DeviceSensors> sensors,
                                                const KernelTable& kernels) {
  GpuOptions gpu;
  gpu.backend = name;
  for (const auto& [key, value] : options.extra) {
    if (key != "graphs" && key != "guards") {
      return Error{ErrorCode::kInvalidInput, fmt::format("option {}: {} knows graphs and guards", key, name)};
    }
    if (value != "0" && value != "1") {
      return Error{ErrorCode::kInvalidInput, fmt::format("option {}: expected 0 or 1, found {}", key, value)};
    }
    (key == "graphs" ? gpu.use_graphs : gpu.guards) = value == "1";
  }
  SS_TRY(auto opened, open_device(device, *sensors));
  // std::function needs something to copy.
  gpu.read_telemetry = [shared = std::shared_ptr<DeviceSensors>(std::move(sensors))] { return shared->read(); };
  return make_backend(std::move(opened), kernels, std::move(gpu));
}

}  // namespace secondsource::gpu::runtime
