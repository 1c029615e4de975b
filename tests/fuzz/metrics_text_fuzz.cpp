// Fuzzes the parser of metrics pages, with and without a filter of names, and the translation into this project's names.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "serving/prometheus_text.h"
#include "serving/server_metrics.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto samples = parse_prometheus_text(text);
  const auto none = parse_prometheus_text(text, [](std::string_view) { return false; });
  if (samples.has_value() != none.has_value()) std::abort();
  if (!samples) return 0;
  if (!none->empty()) std::abort();
  for (const MetricSample& sample : *samples) {
    if (sample.name.empty() || sample.labels.size() > MetricsLimits().most_labels) std::abort();
  }
  for (const auto known : {known_server_metrics(), known_device_metrics()}) {
    MetricTranslator translator(known);
    for (int time = 0; time < 2; ++time) {
      for (const MetricReading& reading : translator.translate(*samples)) {
        if (!std::isfinite(reading.value)) std::abort();
      }
    }
  }
  return 0;
}
