#include "gate/metric.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/counted.h"

namespace secondsource {
namespace {

double seconds_of_rate(double tokens_per_s) {
  return 1 / tokens_per_s;
}
double seconds_of_time(double ns) {
  return 1e-9 * ns;
}

std::vector<double> output_rates(const CellSummary& cell) {
  return cell.output_tok_per_s_by_repetition;
}
std::vector<double> ttfts(const CellSummary& cell) {
  return cell.ttft_p50_ns_by_repetition;
}
std::vector<double> tpots(const CellSummary& cell) {
  return cell.tpot_p50_ns_by_repetition;
}
std::vector<double> later_ttfts(const CellSummary& cell) {
  if (!cell.conversation) return {};
  return cell.conversation->later_turns_ttft_p50_ns_by_repetition;
}

constexpr GateMetric kCost{"cost", output_rates, seconds_of_rate};
constexpr GateMetric kTtft{"ttft", ttfts, seconds_of_time};
constexpr GateMetric kLaterTtft{"ttft_later", later_ttfts, seconds_of_time};
constexpr GateMetric kTpot{"tpot", tpots, seconds_of_time};
constexpr std::array<GateMetric, kMetricsPerCell> kOfSystem = {{kCost, kTtft}};
constexpr std::array<GateMetric, kMetricsPerCell> kOfPrescribedRate = {{kTtft, kTpot}};

constexpr std::array<GateMetric, kMetricsPerCell> kOfConversations = {{kCost, kLaterTtft}};
constexpr std::array<GateMetric, kMetricsPerCell> kOfOfferedConversations = {{kLaterTtft, kTpot}};

}  // namespace

std::vector<double> GateMetric::values(const CellSummary& cell) const {
  std::vector<double> values;
  for (const double one : recorded(cell)) {
    if (one > 0) values.push_back(to_seconds(one));
  }
  return values;
}

std::optional<std::string> GateMetric::why_without_value(const CellSummary& cell, std::string_view whose) const {
  const std::vector<double> numbers = recorded(cell);
  const auto n = std::ranges::count_if(numbers, [](double one) { return !(one > 0); });
  if (n == 0) return std::nullopt;
  return fmt::format("{}: {} of {}{} recorded {} that is not above 0", name, n, counted(numbers.size(), "repetition"),
                     whose, name == "cost" ? "an output rate" : "a time");
}

const std::array<GateMetric, kMetricsPerCell>& gate_metrics_of(const Scenario& scenario) {
  const bool is_rate_prescribed = basis_of(scenario) == ThroughputBasis::kOfferedLoad;
  if (scenario.has_conversations()) return is_rate_prescribed ? kOfOfferedConversations : kOfConversations;
  return is_rate_prescribed ? kOfPrescribedRate : kOfSystem;
}

}  // namespace secondsource
