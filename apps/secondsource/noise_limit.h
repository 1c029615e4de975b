#pragma once
// The environment variable SECONDSOURCE_NOISE_LIMIT: the share of the CPUs, in percent, that other processes may take,
// unless a flag sets it. It lets whoever runs shared CI runners set one limit for all jobs.

#include <optional>

#include "core/result.h"

namespace secondsource {

/// The share in [0, 1]; nullopt if the variable is not set. Errors: kInvalidInput.
Result<std::optional<double>> noise_limit_of_environment();

}  // namespace secondsource
