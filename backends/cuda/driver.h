#pragma once
// Checks whether this machine's driver can run the module's CUDA runtime, before the runtime is called, which reports
// "insufficient driver" (35) even if there is no driver at all.

#include <string>
#include <vector>

#include "core/result.h"

namespace secondsource::cuda {

/// `runtime_version`: CUDART_VERSION of the build, 13000 for 13.0. A driver supports runtimes of its own major version and
/// older ("CUDA Compatibility", NVIDIA). Errors: kUnavailable without a driver or with too old a one.
[[nodiscard]] Result<void> check_driver(int runtime_version, const std::vector<std::string>& names = {"libcuda.so.1"});

}  // namespace secondsource::cuda
