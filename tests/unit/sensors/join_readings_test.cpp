#include "sensors/join_readings.h"

#include "support/device_readings.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

/// All readings of a GPU with the same value, so that the joined readings show each rule.
std::vector<TelemetryReading> all_of(double value) {
  std::vector<TelemetryReading> readings;
  for (const std::string& name : device_reading_names()) readings.push_back({name, value, ""});
  return readings;
}

}  // namespace

TEST_CASE("the readings of several GPUs are added, averaged, or the largest counts") {
  const std::vector<std::vector<TelemetryReading>> of_devices = {all_of(0.25), all_of(1), all_of(0.5)};
  check_readings(by_name(join_readings(of_devices)), {{"device_utilisation", 1.75 / 3},
                                                      {"device_memory_busy", 1.75 / 3},
                                                      {"device_memory_bandwidth_utilisation", 1.75 / 3},
                                                      {"device_memory_used_bytes", 1.75},
                                                      {"process_device_memory_bytes", 1.75},
                                                      {"device_power_w", 1.75},
                                                      {"device_energy_j_max", 1.75},
                                                      {"device_clock_hz", 1.75 / 3},
                                                      {"device_memory_clock_hz", 1.75 / 3},
                                                      {"device_temperature_c", 1},
                                                      {"device_throttled_power", 1},
                                                      {"device_throttled_thermal", 1},
                                                      {"device_throttled_hardware", 1},
                                                      {"device_ecc_corrected_max", 1.75},
                                                      {"device_ecc_uncorrected_max", 1.75}});
}

TEST_CASE("what one GPU does not tell is not told of all") {
  const auto why = absent_sensors("no driver")->read();
  for (const auto& of_devices : {std::vector{all_of(1), why, all_of(2)}, std::vector{why, all_of(1)}}) {
    for (const auto& [name, reading] : by_name(join_readings(of_devices))) {
      CAPTURE(name);
      CHECK_FALSE(reading.value);
      CHECK(reading.why_not == "not available: no driver");
    }
  }
}

TEST_CASE("one GPU has its own readings, and none has none") {
  const auto one = by_name(join_readings(std::vector<std::vector<TelemetryReading>>{all_of(7)}));
  CHECK(one.at("device_clock_hz").value == 7);
  CHECK(join_readings({}).empty());
}
