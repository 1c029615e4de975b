#pragma once
// Readings of a device's sensors by their name, after the rules that hold for every vendor were checked.

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "backend/device_sensors.h"
#include "support/catch.h"

namespace secondsource::test {

/// Every name once, in order; each has a value, or a reason.
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

/// Each of `expected` has that value.
inline void check_readings(const std::map<std::string, TelemetryReading>& readings,
                           const std::map<std::string, double>& expected) {
  for (const auto& [name, value] : expected) {
    CAPTURE(name, readings.at(name).why_not);
    REQUIRE(readings.at(name).value);
    CHECK(*readings.at(name).value == Approx(value));
  }
}

/// An environment variable for one test.
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
