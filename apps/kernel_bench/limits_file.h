#pragma once
// Machine limits as JSON, so that many runs are held against one measurement, taken when the machine was quiet.

#include <filesystem>
#include <string>

#include "measure/machine_limits.h"
#include "measure/machine_probe.h"

namespace secondsource {

[[nodiscard]] std::string limits_to_json(const MachineLimits& limits);
/// Errors: kIo, kInvalidInput.
Result<MachineLimits> read_limits(const std::filesystem::path& file);
/// For people: one line a limit.
[[nodiscard]] std::string limits_to_text(const MachineLimits& limits);
[[nodiscard]] std::string moment_to_json(const MachineMoment& moment);

}  // namespace secondsource
