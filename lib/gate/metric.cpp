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

std::vector<double> seconds_of(const std::vector<double>& values_ns) {
  std::vector<double> values;
  for (const double ns : values_ns) {
    if (ns > 0) values.push_back(1e-9 * ns);
  }
  return values;
}

std::vector<double> ttft_seconds(const CellSummary& cell) {
  return seconds_of(cell.ttft_p50_ns_by_repetition);
}

std::vector<double> tpot_seconds(const CellSummary& cell) {
  return seconds_of(cell.tpot_p50_ns_by_repetition);
}

std::vector<double> later_ttft_seconds(const CellSummary& cell) {
  if (!cell.conversation) return {};
  return seconds_of(cell.conversation->later_turns_ttft_p50_ns_by_repetition);
}

constexpr GateMetric kCost{"cost", seconds_per_output_token};
constexpr GateMetric kTtft{"ttft", ttft_seconds};
constexpr GateMetric kLaterTtft{"ttft_later", later_ttft_seconds};
constexpr GateMetric kTpot{"tpot", tpot_seconds};
constexpr std::array<GateMetric, kMetricsPerCell> kOfSystem = {{kCost, kTtft}};
constexpr std::array<GateMetric, kMetricsPerCell> kOfPrescribedRate = {{kTtft, kTpot}};

constexpr std::array<GateMetric, kMetricsPerCell> kOfConversations = {{kCost, kLaterTtft}};
constexpr std::array<GateMetric, kMetricsPerCell> kOfOfferedConversations = {{kLaterTtft, kTpot}};

}  // namespace

const std::array<GateMetric, kMetricsPerCell>& gate_metrics_of(const Scenario& scenario) {
  const bool is_rate_prescribed = basis_of(scenario) == ThroughputBasis::kOfferedLoad;
  if (scenario.has_conversations()) return is_rate_prescribed ? kOfOfferedConversations : kOfConversations;
  return is_rate_prescribed ? kOfPrescribedRate : kOfSystem;
}

}  // namespace secondsource
