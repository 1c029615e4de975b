#pragma once
// Converts what a device with its own memory measured about itself (backend/device_rates.h) to the types of the host's
// limits, so that the same roofline and the same check serve both.

#include "backend/device_rates.h"
#include "host/machine_probe.h"
#include "record/machine_limits.h"

namespace secondsource {

[[nodiscard]] MachineLimits limits_of_device(const DeviceRates& rates);

/// Takes rates that were measured with RateEffort::kMoment. The last read rate is that of the device's memory; without
/// any, both read rates of the result are 0.
[[nodiscard]] MachineMoment moment_of_device(const DeviceRates& rates);

}  // namespace secondsource
