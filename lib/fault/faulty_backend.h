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

/// load_backend() with the fault that options.extra {"fault", ...} names. It works in the same way for every backend,
/// and no backend sees the option. Errors: those of load_backend(); kInvalidInput for an unknown fault.
Result<std::unique_ptr<Backend>> load_backend_with_fault(const std::vector<std::filesystem::path>& folders,
                                                         std::string_view name, const BackendOptions& options);

}  // namespace secondsource
