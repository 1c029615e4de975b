#pragma once
// Helpers for tests of sensor readings, which check the rules that apply to every vendor.

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "backend_kit/device_sensors.h"
#include "support/catch.h"

namespace secondsource::test {

/// Maps names to readings, after checking that every name occurs once and in order, with either a value or a reason.
inline std::map<std::string, TelemetryReading> by_name(const std::vector<TelemetryReading>& readings) {
  std::vector<std::string> names;
  std::map<std::string, TelemetryReading> result;
  for (const TelemetryReading& reading : readings) {
    names.push_back(reading.name);
    result[reading.name] = reading;
    CAPTURE(reading.name, reading.why_not);
    CHECK(reading.value.has_value() != reading.why_not.starts_with("not available: "));
  }
  CHECK(names == device_reading_names());
  return result;
}

inline std::map<std::string, std::string> properties_of(const DeviceSensors& sensors) {
  const auto pairs = sensors.properties();
  return {pairs.begin(), pairs.end()};
}

/// Checks that each reading in `expected` has that value.
inline void check_readings(const std::map<std::string, TelemetryReading>& readings,
                           const std::map<std::string, double>& expected) {
  for (const auto& [name, value] : expected) {
    CAPTURE(name, readings.at(name).why_not);
    REQUIRE(readings.at(name).value);
    CHECK(*readings.at(name).value == Approx(value));
  }
}

/// Sets an environment variable for the duration of one test.
class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~EnvironmentVariable() { ::unsetenv(name_); }
  EnvironmentVariable(const EnvironmentVariable&) = delete;
  EnvironmentVariable& operator=(const EnvironmentVariable&) = delete;

 private:
  const char* name_;
};

}  // namespace secondsource::test
