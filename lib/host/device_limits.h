#pragma once
// The looks at a device with its own memory (backend/device_rates.h) in the form of the host's, so that one roofline and
// one check serve both.

#include "backend/device_rates.h"
#include "host/machine_probe.h"
#include "record/machine_limits.h"

namespace secondsource {

[[nodiscard]] MachineLimits limits_of_device(const DeviceRates& rates);

/// `rates` are those of a moment (RateEffort::kMoment), with one read rate or more; the last one counts.
[[nodiscard]] MachineMoment moment_of_device(const DeviceRates& rates);

}  // namespace secondsource
