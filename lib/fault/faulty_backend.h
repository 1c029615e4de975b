#pragma once
// A Backend that passes every call on to another one and misbehaves as a FaultSpec says (fault.h).

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/module.h"
#include "fault/fault.h"

namespace secondsource {

/// Wraps `inner`. DeviceInfo::properties gains {"fault", spec.text}.
[[nodiscard]] std::unique_ptr<Backend> make_faulty_backend(std::unique_ptr<Backend> inner, const FaultSpec& spec);

/// create_backend() with the fault named by options.extra {"fault", ...}. The backend itself never sees that option, so
/// it works for every backend. Errors: those of create_backend(), and kInvalidInput for an invalid fault.
Result<std::unique_ptr<Backend>> create_backend_with_fault(const std::vector<Module>& modules, std::string_view name,
                                                           const BackendOptions& options);

/// load_backend() with the same handling of the fault.
Result<std::unique_ptr<Backend>> load_backend_with_fault(const std::vector<std::filesystem::path>& folders,
                                                         std::string_view name, const BackendOptions& options);

}  // namespace secondsource
