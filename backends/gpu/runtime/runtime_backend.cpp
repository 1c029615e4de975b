#include "gpu/runtime/runtime_backend.h"

#include <fmt/format.h>

#include <mutex>

namespace secondsource::gpu::runtime {

Result<std::unique_ptr<Backend>> create_backend(const std::string& name, const BackendOptions& options,
                                                const DeviceSummary& device, std::unique_ptr<DeviceSensors> sensors,
                                                const KernelTable& kernels, const OpenLibrary& open) {
  GpuOptions gpu;
  gpu.backend = name;
  gpu.n_threads = options.n_threads;
  for (const auto& [key, value] : options.extra) {
    SS_TRY(const bool known, read_option(key, value, gpu));
    if (known) continue;
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format(
            "option {}: {} knows graphs, guards, fuse, dependent_launch, tiles, attention, matmul and matmul_library",
            key, name)};
  }
  const DeviceSensors& known = *sensors;
  // Telemetry and memory are read by different threads, and the sensors are not thread-safe.
  gpu.read_telemetry = [shared = std::shared_ptr<DeviceSensors>(std::move(sensors)),
                        mutex = std::make_shared<std::mutex>()] {
    const std::lock_guard lock(*mutex);
    return shared->read();
  };
  SS_TRY(auto opened, open_device(device, known, gpu.read_telemetry));
  SS_TRY_VOID(open_library(gpu, open));  // after the device: the library's handle is for the current device
  return make_backend(std::move(opened), kernels, std::move(gpu));
}

}  // namespace secondsource::gpu::runtime
