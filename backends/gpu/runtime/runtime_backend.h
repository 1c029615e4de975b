#pragma once
// What cuda and hip understand of BackendOptions, and their backend made of it.

#include <memory>
#include <string>

#include "backend/backend.h"
#include "gpu/host/backend.h"
#include "gpu/runtime/runtime_device.h"

namespace secondsource::gpu::runtime {

/// The vendor's library of products, for the device that is current; `file` is empty, or where the user says it is.
using OpenLibrary = std::function<Result<std::shared_ptr<LibraryMatmul>>(const std::string& file)>;

/// Opens the device and makes its backend. Errors: kInvalidInput for an option of `extra` that read_option() does not
/// take; those of open_device(), open_library() and make_backend().
[[nodiscard]] Result<std::unique_ptr<Backend>> create_backend(const std::string& name, const BackendOptions& options,
                                                              const DeviceSummary& device,
                                                              std::unique_ptr<DeviceSensors> sensors,
                                                              const KernelTable& kernels, const OpenLibrary& open);

}  // namespace secondsource::gpu::runtime
