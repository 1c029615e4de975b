#pragma once
// Machine limits as JSON and text. A file lets many runs compare with one measurement, taken on a quiet machine.

#include <filesystem>
#include <string>
#include <vector>

#include "host/limit_details.h"
#include "host/machine_probe.h"
#include "record/machine_limits.h"

namespace secondsource::kernel_bench {

[[nodiscard]] std::string limits_to_json(const MachineLimits& limits);
/// Errors: kIo, kInvalidInput.
Result<MachineLimits> read_limits(const std::filesystem::path& file);
/// For people: one line per limit.
[[nodiscard]] std::string limits_to_text(const MachineLimits& limits);
[[nodiscard]] std::string details_to_text(const LimitDetails& details);

/// What a backend's device does at best.
struct DeviceLimits {
  std::string backend;
  std::string device;  ///< its name
  MachineLimits limits;
};
/// The rate at which a device reads its memory: that of the largest buffer.
[[nodiscard]] double memory_read_rate(const MachineLimits& device);
/// For people: one line per limit of a device.
[[nodiscard]] std::string device_limits_to_text(const MachineLimits& limits);
[[nodiscard]] std::string device_limits_to_json(const std::vector<DeviceLimits>& limits);

[[nodiscard]] std::string moment_to_json(const MachineMoment& moment);

}  // namespace secondsource::kernel_bench
