#pragma once
// Joins the readings of several GPUs into one set, for a system that computes on all of them.

#include <span>
#include <vector>

#include "backend/backend.h"

namespace secondsource {

/// `of_devices`: what DeviceSensors::read() gave for each GPU, with the same names. Bytes, power, energy and errors are
/// added; utilisation and clocks are averaged; of temperatures and throttling the largest counts. A reading that one GPU
/// lacks is absent, with the reason of that GPU, because a sum over the others would be too low.
[[nodiscard]] std::vector<TelemetryReading> join_readings(std::span<const std::vector<TelemetryReading>> of_devices);

}  // namespace secondsource
