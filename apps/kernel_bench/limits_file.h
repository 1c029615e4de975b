#pragma once
// Machine limits as JSON, so that many runs are held against one measurement, taken when the machine was quiet.

#include <filesystem>
#include <string>
#include <vector>

#include "host/machine_limits.h"
#include "host/machine_probe.h"

namespace secondsource {

[[nodiscard]] std::string limits_to_json(const MachineLimits& limits);
/// Errors: kIo, kInvalidInput.
Result<MachineLimits> read_limits(const std::filesystem::path& file);
/// For people: one line a limit.
[[nodiscard]] std::string limits_to_text(const MachineLimits& limits);

/// What a backend's own device reads its memory at.
struct DeviceLimits {
  std::string backend;
  std::string device;  ///< its name
  double read_bytes_per_s = 0;
};
[[nodiscard]] std::string device_limits_to_json(const std::vector<DeviceLimits>& limits);

[[nodiscard]] std::string moment_to_json(const MachineMoment& moment);

}  // namespace secondsource
