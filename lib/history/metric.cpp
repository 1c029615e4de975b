#include "history/metric.h"

#include <algorithm>

namespace secondsource {
namespace {

constexpr double kMsPerNs = 1e-6;

constexpr HistoryMetric kMetrics[] = {
    {"output_tok_per_s", "output tokens/s", 1, true, [](const CellSummary& c) { return c.output_tok_per_s.value; },
     &HistoryCell::output_tok_per_s},
    {"ttft_p50", "time to first token p50, ms", kMsPerNs, false,
     [](const CellSummary& c) { return c.ttft_e2e_p50_ns.value; }, &HistoryCell::ttft_e2e_p50_ns},
    {"ttft_p95", "time to first token p95, ms", kMsPerNs, false,
     [](const CellSummary& c) { return c.ttft_e2e_p95_ns.value; }, &HistoryCell::ttft_e2e_p95_ns},
    {"tpot_p50", "time per output token p50, ms", kMsPerNs, false,
     [](const CellSummary& c) { return c.tpot_p50_ns.value; }, &HistoryCell::tpot_p50_ns},
    {"itl_p99", "time between tokens p99, ms", kMsPerNs, false, [](const CellSummary& c) { return c.itl_p99_ns.value; },
     &HistoryCell::itl_p99_ns},
    {"usd_per_1k_output", "$ per 1K output tokens", 1, false, [](const CellSummary& c) { return c.usd_per_1k_output; },
     &HistoryCell::usd_per_1k_output},
    {"peak_memory", "peak memory, MiB", 0x1p-20, false,
     [](const CellSummary& c) {
       return c.memory ? std::optional<double>(static_cast<double>(c.memory->peak_bytes)) : std::nullopt;
     },
     &HistoryCell::peak_bytes},
    {"ttft_later_p50", "time to first token p50 of the turns after the first, ms", kMsPerNs, false,
     [](const CellSummary& c) { return c.conversation ? c.conversation->later_turns_ttft_p50_ns.value : std::nullopt; },
     &HistoryCell::later_turns_ttft_p50_ns},
};

}  // namespace

std::span<const HistoryMetric> history_metrics() {
  return kMetrics;
}

const HistoryMetric* find_history_metric(std::string_view name) {
  const auto* found = std::find_if(std::begin(kMetrics), std::end(kMetrics),
                                   [&](const HistoryMetric& metric) { return metric.name == name; });
  return found == std::end(kMetrics) ? nullptr : found;
}

double badness(const HistoryMetric& metric, double value) {
  return metric.larger_is_better ? 1 / value : value;
}

}  // namespace secondsource
