// Two sources give readings of several GPUs under the same names: the sensors of this machine (lib/sensors) and an exporter's
// page (lib/serving). Neither of the two libraries may include the other, so this test checks that their rules agree.

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "sensors/join_readings.h"
#include "serving/prometheus_text.h"
#include "serving/server_metrics.h"
#include "support/catch.h"

namespace secondsource {
namespace {

TEST_CASE("readings of several GPUs are joined alike, whether an exporter or this machine's sensors gave them") {
  for (const KnownMetric& metric : known_device_metrics()) {
    CAPTURE(metric.reading);
    // Every joining rule gives a different result for these three values. Reasons have none or all of their bits set.
    const bool is_bits = metric.meaning == MetricMeaning::kReasons;
    const std::array<double, 3> published =
        is_bits ? std::array<double, 3>{0, static_cast<double>(metric.bits), 0} : std::array<double, 3>{1, 4, 16};
    std::vector<MetricSample> samples;
    std::vector<std::vector<TelemetryReading>> of_devices;
    for (const double value : published) {
      samples.push_back({.name = std::string(metric.names.front()), .labels = {}, .value = value});
      const double reading = is_bits ? (value > 0 ? 1 : 0) : value * metric.scale;
      of_devices.push_back({{.name = std::string(metric.reading), .value = reading, .why_not = ""}});
    }
    MetricTranslator translator(known_device_metrics());
    const std::vector<MetricReading> exported = translator.translate(samples);
    const auto here = std::ranges::find(exported, metric.reading, &MetricReading::name);
    REQUIRE(here != exported.end());
    const std::vector<TelemetryReading> joined = join_readings(of_devices);
    REQUIRE(joined.size() == 1);
    REQUIRE(joined.front().value.has_value());
    CHECK(*joined.front().value == Approx(here->value));
  }
}

}  // namespace
}  // namespace secondsource
