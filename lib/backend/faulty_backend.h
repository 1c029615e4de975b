#pragma once
// A Backend that passes everything on to another one and misbehaves as told (fault.h).

#include <memory>

#include "backend/backend.h"
#include "backend/fault.h"

namespace secondsource {

/// DeviceInfo::properties gains {"fault", spec.text}.
[[nodiscard]] std::unique_ptr<Backend> make_faulty_backend(std::unique_ptr<Backend> inner, const FaultSpec& spec);

}  // namespace secondsource
