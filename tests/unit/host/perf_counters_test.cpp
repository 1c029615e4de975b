#include "host/perf_counters.h"

#include <iostream>

#include "support/catch.h"

namespace secondsource {
namespace {

TEST_CASE("a hardware counter counts, or says why it does not; it is never a zero in between") {
  PerfCounters counters;
  volatile double sink = 1;
  for (int i = 0; i < 2'000'000; ++i) sink = sink * 1.0000001;
  const std::vector<TelemetryReading> readings = counters.read();
  REQUIRE(readings.size() == 5);
  for (const TelemetryReading& reading : readings) {
    CAPTURE(reading.name, reading.why_not);
    CHECK(reading.value.has_value() == reading.why_not.empty());
    if (!reading.value) {
      CHECK(reading.why_not.starts_with("not available: "));
      std::cout << reading.name << ": " << reading.why_not << "\n";
    }
  }
  // Each iteration has at least six instructions: load, multiply, store, count, compare, jump.
  if (readings[0].value) CHECK(*readings[0].value > 0);
  if (readings[2].value) CHECK(*readings[2].value > 0.05);
}

}  // namespace
}  // namespace secondsource
