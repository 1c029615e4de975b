#pragma once
// The sensors of a device, read through its vendor's library, with the same names for every vendor:
//
//   device_utilisation                     share of the time that a kernel ran, 0 to 1
//   device_memory_busy                     share of the time that memory was read or written, 0 to 1
//   device_memory_bandwidth_utilisation    share of the memory's theoretical bandwidth, 0 to 1
//   device_memory_used_bytes               by all processes
//   process_device_memory_bytes            by this process, including its context
//   device_power_w
//   device_energy_j_max                    counter since the driver was loaded; two readings differ by the energy used
//   device_clock_hz  device_memory_clock_hz
//   device_temperature_c                   of the hottest sensor that the vendor reports for the chip
//   device_throttled_power  device_throttled_thermal  device_throttled_hardware
//                                          1 while throttled, so that the mean is a share of the time
//   device_ecc_corrected_max  device_ecc_uncorrected_max    errors since the driver was loaded
//
// A reading that the device, the driver or the library does not provide carries the reason; it is never zero.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace secondsource {

class DeviceSensors {
 public:
  virtual ~DeviceSensors() = default;
  /// Every name above once, in that order. Rates cover the time since the last call. Call it from one thread at a time.
  virtual std::vector<TelemetryReading> read() = 0;
  /// Settings that are fixed during a run and affect its speed, for DeviceInfo::properties: versions, ECC, partition
  /// mode, limits of clocks and power. A value that cannot be read is "not available: why".
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> properties() const = 0;
};

/// The names in the list above.
[[nodiscard]] const std::vector<std::string>& device_reading_names();

/// A reading scaled to the unit of its name, or "not available: " and the error's text if there is no value.
template <typename Number>
[[nodiscard]] TelemetryReading device_reading(std::string name, const Result<Number>& value, double scale = 1.0) {
  if (!value) return {std::move(name), std::nullopt, "not available: " + value.error().message};
  return {std::move(name), static_cast<double>(*value) * scale, ""};
}

/// The value, or "not available: why".
[[nodiscard]] std::string device_property(const Result<std::string>& value);

/// Sensors of a device whose vendor library cannot be used: every reading carries the reason `why`.
[[nodiscard]] std::unique_ptr<DeviceSensors> absent_sensors(std::string why);

}  // namespace secondsource
