#include "gate/metric.h"

namespace secondsource {
namespace {

std::vector<double> seconds_per_output_token(const CellSummary& cell) {
  std::vector<double> values;
  for (const double rate : cell.output_tok_per_s_by_repetition) {
    if (rate > 0) values.push_back(1 / rate);
  }
  return values;
}

std::vector<double> ttft_seconds(const CellSummary& cell) {
  std::vector<double> values;
  for (const double ns : cell.ttft_p50_ns_by_repetition) {
    if (ns > 0) values.push_back(1e-9 * ns);
  }
  return values;
}

constexpr std::array<GateMetric, 2> kMetrics = {{{"cost", seconds_per_output_token}, {"ttft", ttft_seconds}}};

}  // namespace

const std::array<GateMetric, 2>& gate_metrics() {
  return kMetrics;
}

}  // namespace secondsource
