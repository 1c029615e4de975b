#include "summary/load_summary.h"

#include <algorithm>
#include <map>
#include <vector>

#include "stats/quantile.h"
#include "summary/metric_values.h"

namespace secondsource {
namespace {

void summarize_sends(const CellLines& lines, CellSummary& cell) {
  const bool has_due_times = cell.scenario.kind == ScenarioKind::kServer || cell.scenario.has_conversations();
  if (!has_due_times || lines.samples.empty()) return;
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

/// In one repetition: by how much the system's own count of output tokens exceeds the tokens that arrived.
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

/// Prompt tokens of some requests, and the median TTFT.
class TurnFigures {
 public:
  explicit TurnFigures(std::size_t n_repetitions) : ttft_(n_repetitions) {}
  void add(const RequestSample& sample, std::optional<std::size_t> repetition) {
    ++n_requests_;
    prompt_tokens_ += sample.n_prompt_tokens;
    if (sample.n_cached_prompt_tokens) {
      ++n_counted_;
      cached_tokens_ += *sample.n_cached_prompt_tokens;
      cacheable_tokens_ += sample.n_prompt_tokens;
    }
    if (const auto ns = sample.ttft_e2e_ns()) ttft_.add(static_cast<double>(*ns), repetition);
  }
  [[nodiscard]] std::int64_t n_requests() const { return n_requests_; }
  [[nodiscard]] std::optional<double> mean_prompt_tokens() const { return ratio(prompt_tokens_, n_requests_); }
  [[nodiscard]] std::optional<double> mean_cached_tokens() const { return ratio(cached_tokens_, n_counted_); }
  [[nodiscard]] std::optional<double> cached_share() const { return ratio(cached_tokens_, cacheable_tokens_); }
  [[nodiscard]] Estimate median_ttft() {
    ttft_.sort();
    return ttft_.quantile(0.5);
  }

 private:
  static std::optional<double> ratio(std::int64_t part, std::int64_t whole) {
    return whole > 0 ? std::optional(static_cast<double>(part) / static_cast<double>(whole)) : std::nullopt;
  }

  MetricValues ttft_;
  std::int64_t n_requests_ = 0, prompt_tokens_ = 0;
  /// Of the requests whose cached prompt tokens are known.
  std::int64_t n_counted_ = 0, cached_tokens_ = 0, cacheable_tokens_ = 0;
};

void summarize_conversations(const CellLines& lines, CellSummary& cell) {
  if (!cell.scenario.has_conversations() || lines.samples.empty()) return;
  const ComparableRequests comparable(lines.samples, lines.repetitions);
  std::vector<TurnFigures> turns(static_cast<std::size_t>(cell.scenario.turns),
                                 TurnFigures(comparable.n_repetitions()));
  TurnFigures later(comparable.n_repetitions());
  std::map<std::int32_t, std::vector<double>> later_ttft_of;  // by repetition
  for (const RequestSample* sample : lines.samples) {
    const std::int32_t turn = sample->turn.value_or(0);
    if (!sample->error.empty() || turn < 1 || turn > cell.scenario.turns) continue;
    const std::optional<std::size_t> repetition = comparable.repetition_of(*sample);
    turns[static_cast<std::size_t>(turn) - 1].add(*sample, repetition);
    if (turn == 1) continue;
    later.add(*sample, repetition);
    if (const auto ns = sample->ttft_e2e_ns()) later_ttft_of[sample->repetition].push_back(static_cast<double>(*ns));
  }
  ConversationSummary& summary = cell.conversation.emplace();
  for (TurnFigures& of_turn : turns) {
    summary.turns.push_back({.turn = static_cast<std::int32_t>(summary.turns.size()) + 1,
                             .n_requests = of_turn.n_requests(),
                             .mean_prompt_tokens = of_turn.mean_prompt_tokens(),
                             .mean_cached_tokens = of_turn.mean_cached_tokens(),
                             .ttft_p50_ns = of_turn.median_ttft()});
  }
  summary.first_turn_ttft_p50_ns = summary.turns.front().ttft_p50_ns;
  summary.later_turns_ttft_p50_ns = later.median_ttft();
  summary.later_turns_cached_share = later.cached_share();
  for (const Repetition* repetition : lines.repetitions) {
    if (const auto middle = median(later_ttft_of[repetition->repetition])) {
      summary.later_turns_ttft_p50_ns_by_repetition.push_back(*middle);
    }
  }
}

}  // namespace

void summarize_load(const CellLines& lines, CellSummary& cell) {
  summarize_sends(lines, cell);
  summarize_cancelled(lines, cell);
  summarize_conversations(lines, cell);
}

}  // namespace secondsource
