#pragma once
// oneDNN as a Backend: its matmuls in the eager step of lib/backend_kit.

#include <memory>
#include <vector>

#include "backend/module.h"

namespace secondsource::onednn {

[[nodiscard]] Result<std::vector<DeviceInfo>> devices();
[[nodiscard]] Result<std::unique_ptr<Backend>> create(const BackendOptions& options);

}  // namespace secondsource::onednn
