#pragma once
// Creates the backend of cuda and hip from BackendOptions.

#include <memory>
#include <string>

#include "backend/backend.h"
#include "gpu/host/backend.h"
#include "gpu/runtime/runtime_device.h"

namespace secondsource::gpu::runtime {

/// Opens the vendor's library of products for the current device. `file`: its path by the user's option, or empty.
using OpenLibrary = std::function<Result<std::shared_ptr<LibraryMatmul>>(const std::string& file)>;

/// Opens the device and creates its backend. Errors: kInvalidInput for an option of `extra` that read_option() does not
/// know; those of open_device(), open_library() and make_backend().
[[nodiscard]] Result<std::unique_ptr<Backend>> create_backend(const std::string& name, const BackendOptions& options,
                                                              const DeviceSummary& device,
                                                              std::unique_ptr<DeviceSensors> sensors,
                                                              const KernelTable& kernels, const OpenLibrary& open);

}  // namespace secondsource::gpu::runtime
