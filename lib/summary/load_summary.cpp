#include "summary/load_summary.h"

#include <algorithm>
#include <vector>

#include "stats/quantile.h"

namespace secondsource {
namespace {

void summarize_sends(const CellLines& lines, CellSummary& cell) {
  if (cell.scenario.kind != ScenarioKind::kServer || lines.samples.empty()) return;
  std::int64_t n_late = 0;
  std::int64_t latest_ns = 0;
  for (const RequestSample* sample : lines.samples) {
    const std::int64_t late_ns = sample->sent_ns - sample->scheduled_ns;
    n_late += late_ns > kLateSendNs ? 1 : 0;
    latest_ns = std::max(latest_ns, late_ns);
  }
  cell.late_send_share = static_cast<double>(n_late) / static_cast<double>(lines.samples.size());
  cell.latest_send_ns = latest_ns;
}

/// What the system's own counter says beyond the tokens that arrived, in one repetition.
std::optional<double> unwanted_tokens(const Repetition& repetition, std::int64_t n_arrived) {
  const auto reading = std::ranges::find(repetition.telemetry, kServerOutputReading, &TelemetryReading::name);
  if (reading == repetition.telemetry.end() || !reading->value) return std::nullopt;
  return *reading->value - static_cast<double>(n_arrived);
}

void summarize_cancelled(const CellLines& lines, CellSummary& cell) {
  if (!(cell.scenario.cancel_share > 0) || lines.samples.empty()) return;
  std::int64_t n_cancelled = 0;
  std::vector<double> freed, unwanted;
  for (const Repetition* repetition : lines.repetitions) {
    std::int64_t n_arrived = 0;
    std::int64_t n_spared = 0;
    for (const RequestSample* sample : lines.samples) {
      if (sample->repetition != repetition->repetition) continue;
      n_arrived += sample->n_output_tokens;
      if (sample->finish != RequestFinish::kCancelled) continue;
      ++n_cancelled;
      n_spared += sample->asked_tokens.value_or(sample->n_output_tokens) - sample->n_output_tokens;
    }
    const std::int64_t window_ns = repetition->window_end_ns - repetition->window_start_ns;
    if (window_ns > 0) freed.push_back(1e9 * static_cast<double>(n_spared) / static_cast<double>(window_ns));
    if (const auto tokens = unwanted_tokens(*repetition, n_arrived)) unwanted.push_back(*tokens);
  }
  cell.n_cancelled = n_cancelled;
  cell.freed_tok_per_s = median(freed);
  cell.unwanted_tokens = median(unwanted);
}

}  // namespace

void summarize_load(const CellLines& lines, CellSummary& cell) {
  summarize_sends(lines, cell);
  summarize_cancelled(lines, cell);
}

}  // namespace secondsource
