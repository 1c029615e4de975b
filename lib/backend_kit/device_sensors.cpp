#include "backend_kit/device_sensors.h"

namespace secondsource {
namespace {

constexpr const char* kNotAvailable = "not available: ";

class AbsentSensors final : public DeviceSensors {
 public:
  explicit AbsentSensors(std::string why) : why_(std::move(why)) {}

  std::vector<TelemetryReading> read() override {
    std::vector<TelemetryReading> readings;
    for (const std::string& name : device_reading_names())
      readings.push_back({name, std::nullopt, kNotAvailable + why_});
    return readings;
  }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> properties() const override {
    return {{"sensors", kNotAvailable + why_}};
  }

 private:
  std::string why_;
};

}  // namespace

const std::vector<std::string>& device_reading_names() {
  static const std::vector<std::string> names = {"device_utilisation",
                                                 "device_memory_busy",
                                                 "device_memory_bandwidth_utilisation",
                                                 "device_memory_used_bytes",
                                                 "process_device_memory_bytes",
                                                 "device_power_w",
                                                 "device_energy_j_max",
                                                 "device_clock_hz",
                                                 "device_memory_clock_hz",
                                                 "device_temperature_c",
                                                 "device_throttled_power",
                                                 "device_throttled_thermal",
                                                 "device_throttled_hardware",
                                                 "device_ecc_corrected_max",
                                                 "device_ecc_uncorrected_max"};
  return names;
}

std::string device_property(const Result<std::string>& value) {
  return value ? *value : kNotAvailable + value.error().message;
}

std::unique_ptr<DeviceSensors> absent_sensors(std::string why) {
  return std::make_unique<AbsentSensors>(std::move(why));
}

}  // namespace secondsource
