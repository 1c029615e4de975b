// Parses a metrics page from standard input and prints each sample as a line of JSON, for metrics_text_test.py. Ends with
// status 2 and the error if the page is invalid.

#include <fmt/format.h>

#include <cmath>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "serving/prometheus_text.h"

int main() {
  const std::string page((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  const auto samples = secondsource::parse_prometheus_text(page);
  if (!samples) {
    std::cerr << samples.error().message << "\n";
    return 2;
  }
  for (const secondsource::MetricSample& sample : *samples) {
    nlohmann::ordered_json labels = nlohmann::ordered_json::object();
    for (const auto& [name, value] : sample.labels) labels[name] = value;
    // JSON has no infinities, so the value is written as text that Python's float() can read.
    std::cout << nlohmann::ordered_json(
                     {{"name", sample.name}, {"labels", labels}, {"value", fmt::format("{}", sample.value)}})
                     .dump()
              << "\n";
  }
}
