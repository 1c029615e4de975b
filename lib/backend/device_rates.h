#pragma once
// What a device with its own memory does at best, as Backend::measure_rates() finds it: the limits with which its steps
// are compared. The limits of the machine's CPUs are in host/machine_limits.h; the limits of one never apply to the
// other.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace secondsource {

/// The highest rate at which a device reads a buffer of this size again and again.
struct DeviceReadRate {
  std::int64_t buffer_bytes = 0;
  double bytes_per_s = 0;
};

/// One look at the rates of a device.
struct DeviceRates {
  std::int32_t n_processors = 1;      ///< multiprocessors, or compute units
  std::string loops;                  ///< what measured them: "sm_90a"
  std::vector<DeviceReadRate> reads;  ///< by ascending size; the last buffer is far larger than any cache of the device
  double f32_flops = 0;               ///< operations/s; a multiply-add counts as two
  std::optional<double> bf16_flops = {};
  std::optional<double> int8_ops = {};
  std::string unmeasured = {};  ///< matrix units that the loops do not use: no limit on operations/s is known then
};

/// How much of DeviceRates is measured.
enum class RateEffort : std::uint8_t {
  kAll,     ///< everything, each the best of many passes: up to a few seconds
  kMoment,  ///< the last buffer of DeviceRates::reads and f32_flops alone, as they are now: a fraction of a second
};

}  // namespace secondsource
