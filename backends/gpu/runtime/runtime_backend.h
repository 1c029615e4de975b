#pragma once
// What cuda and hip understand of BackendOptions, and their backend made of it.

#include <memory>
#include <string>

#include "backend/backend.h"
#include "gpu/host/backend.h"
#include "gpu/runtime/runtime_device.h"

namespace secondsource::gpu::runtime {

/// Opens the device and makes its backend. Errors: kInvalidInput for an option of `extra` that is neither graphs nor
/// guards, each 0 or 1; those of open_device() and make_backend().
[[nodiscard]] Result<std::unique_ptr<Backend>> create_backend(const std::string& name, const BackendOptions& options,
                                                              const DeviceSummary& device,
                                                              std::unique_ptr<DeviceSensors> sensors,
                                                              const KernelTable& kernels);

}  // namespace secondsource::gpu::runtime
