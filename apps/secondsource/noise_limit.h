#pragma once
// SECONDSOURCE_NOISE_LIMIT: how much of the CPUs others may have, in percent, where no flag says it. For shared CI runners, on
// which it is to apply to every job.

#include <optional>

#include "core/result.h"

namespace secondsource {

/// The share in [0, 1]; nullopt if the variable is not set. Errors: kInvalidInput.
Result<std::optional<double>> noise_limit_of_environment();

}  // namespace secondsource
