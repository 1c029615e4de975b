#include "sensors/join_readings.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "core/check.h"

namespace secondsource {
namespace {

enum class JoinRule : std::uint8_t { kSum, kMean, kLargest };

JoinRule join_of(std::string_view name) {
  if (name == "device_temperature_c" || name.starts_with("device_throttled")) return JoinRule::kLargest;
  const bool is_mean = name == "device_utilisation" || name == "device_memory_busy" || name.ends_with("_utilisation") ||
                       name.ends_with("_hz");
  return is_mean ? JoinRule::kMean : JoinRule::kSum;
}

}  // namespace

std::vector<TelemetryReading> join_readings(std::span<const std::vector<TelemetryReading>> of_devices) {
  if (of_devices.empty()) return {};
  std::vector<TelemetryReading> joined = of_devices.front();
  for (const auto& readings : of_devices.subspan(1)) {
    SS_CHECK(readings.size() == joined.size(), "every GPU has the same readings");
    for (std::size_t index = 0; index < joined.size(); ++index) {
      TelemetryReading& sum = joined[index];
      const TelemetryReading& one = readings[index];
      if (!sum.value) continue;
      if (!one.value) {
        sum = one;
      } else if (join_of(sum.name) == JoinRule::kLargest) {
        sum.value = std::max(*sum.value, *one.value);
      } else {
        *sum.value += *one.value;
      }
    }
  }
  for (TelemetryReading& reading : joined) {
    if (reading.value && join_of(reading.name) == JoinRule::kMean)
      *reading.value /= static_cast<double>(of_devices.size());
  }
  return joined;
}

}  // namespace secondsource
