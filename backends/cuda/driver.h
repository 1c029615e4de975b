#pragma once
// Whether the driver of this machine can run what the module was built with, before the runtime is asked: that says
// "insufficient driver" (35) where there is none at all, too.

#include <string>
#include <vector>

#include "core/result.h"

namespace secondsource::cuda {

/// `runtime_version`: CUDART_VERSION of the build, 13000 for 13.0. A driver runs every runtime of its own major
/// version, and older ones ("CUDA Compatibility", NVIDIA). Errors: kUnavailable where there is no driver, or one for
/// older ones.
[[nodiscard]] Result<void> check_driver(int runtime_version, const std::vector<std::string>& names = {"libcuda.so.1"});

}  // namespace secondsource::cuda
