#pragma once
// oneDNN as a Backend: its matmuls over the project's eager step.

#include <memory>
#include <vector>

#include "backend/module.h"

namespace secondsource::onednn {

[[nodiscard]] Result<std::vector<DeviceInfo>> devices();
[[nodiscard]] Result<std::unique_ptr<Backend>> create(const BackendOptions& options);

}  // namespace secondsource::onednn
