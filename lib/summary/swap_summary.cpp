#include "summary/swap_summary.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cost/resident_cost.h"
#include "stats/quantile.h"
#include "summary/metric_values.h"

namespace secondsource {
namespace {

double rate_per_s(std::int64_t tokens, std::int64_t ns) {
  return ns > 0 ? 1e9 * static_cast<double>(tokens) / static_cast<double>(ns) : 0;
}

/// The resident set, summed over the time of one repetition. Each request counts from when it was sent until the next
/// one was sent.
struct Residency {
  double ns = 0;
  std::optional<double> byte_ns = 0;  ///< absent where a size is not known
  double model_ns = 0;
};

Residency residency_of(const Repetition& repetition, std::span<const RequestSample* const> samples) {
  std::vector<const RequestSample*> own;
  for (const RequestSample* sample : samples) {
    if (sample->repetition == repetition.repetition) own.push_back(sample);
  }
  std::ranges::sort(own, {}, &RequestSample::sent_ns);
  Residency sum;
  std::optional<std::int64_t> bytes = repetition.swap->resident_bytes_at_start;
  auto n_models = static_cast<double>(repetition.swap->resident_at_start.size());
  for (std::size_t index = 0; index < own.size(); ++index) {
    for (const SwapEvent& event : repetition.swap->events) {
      if (event.request != own[index]->request) continue;
      bytes = event.resident_bytes;
      n_models += event.action == SwapAction::kLoad ? 1 : -1;
    }
    const std::int64_t until_ns =
        index + 1 < own.size() ? own[index + 1]->sent_ns : own[index]->last_token_ns.value_or(own[index]->sent_ns);
    const auto span_ns = static_cast<double>(until_ns - own[index]->sent_ns);
    sum.ns += span_ns;
    sum.byte_ns =
        sum.byte_ns && bytes ? std::optional(*sum.byte_ns + static_cast<double>(*bytes) * span_ns) : std::nullopt;
    sum.model_ns += n_models * span_ns;
  }
  return sum;
}

/// The larger of two sizes, of which either may be unknown.
std::optional<std::int64_t> larger(const std::optional<std::int64_t>& a, const std::optional<std::int64_t>& b) {
  return a < b ? b : a;
}

/// The largest resident set of a repetition; nullopt where the size of one that occurred is not known.
std::optional<std::int64_t> peak_bytes_of(const SwapRecord& record) {
  std::optional<std::int64_t> peak = record.resident_bytes_at_start;
  for (const SwapEvent& event : record.events) {
    if (!peak || !event.resident_bytes) return std::nullopt;
    peak = std::max(*peak, *event.resident_bytes);
  }
  return peak;
}

/// The largest resident set of all repetitions; nullopt where that of one is not known.
std::optional<std::int64_t> peak_bytes_of(std::span<const Repetition* const> repetitions) {
  std::int64_t largest = 0;
  for (const Repetition* repetition : repetitions) {
    const std::optional<std::int64_t> peak = peak_bytes_of(*repetition->swap);
    if (!peak) return std::nullopt;
    largest = std::max(largest, *peak);
  }
  return largest;
}

double count_of(const SwapRecord& record, SwapAction action, const std::string& model = "") {
  return static_cast<double>(std::ranges::count_if(record.events, [&](const SwapEvent& event) {
    return event.action == action && (model.empty() || event.model == model);
  }));
}

/// The time to the first token over repetitions, or why there is none.
Estimate start_of(std::span<const Repetition* const> repetitions, const std::string& model, StartSource source) {
  std::vector<double> values;
  std::string why_not;
  for (const Repetition* repetition : repetitions) {
    for (const ModelStart& start : repetition->swap->starts) {
      if (start.model != model || start.source != source) continue;
      if (start.first_token_ns) values.push_back(static_cast<double>(*start.first_token_ns));
      if (why_not.empty()) why_not = start.why_not;
    }
  }
  Estimate estimate = estimate_over_repetitions(values);
  if (!estimate.value && !why_not.empty()) estimate.why_not = why_not;
  return estimate;
}

SwapModelSummary summarize_model(const CellLines& lines, const std::string& model, double share) {
  SwapModelSummary summary;
  summary.model = model;
  summary.share = share;
  std::vector<double> alone, loads, evictions;
  const std::int32_t first = lines.repetitions.front()->repetition;
  summary.n_requests = std::ranges::count_if(lines.samples, [&](const RequestSample* sample) {
    return sample->model == model && sample->repetition == first;
  });
  for (const Repetition* repetition : lines.repetitions) {
    loads.push_back(count_of(*repetition->swap, SwapAction::kLoad, model));
    evictions.push_back(count_of(*repetition->swap, SwapAction::kEviction, model));
    for (const SwappedModel& one : repetition->swap->models) {
      if (one.model != model) continue;
      summary.resident_bytes = larger(summary.resident_bytes, one.resident_bytes);
      summary.weights_bytes = larger(summary.weights_bytes, one.weights_bytes);
      summary.kv_bytes = larger(summary.kv_bytes, one.kv_bytes);
      summary.file_bytes = larger(summary.file_bytes, one.file_bytes);
      if (one.alone_ns > 0) alone.push_back(rate_per_s(one.alone_tokens, one.alone_ns));
    }
  }
  summary.start_disk_ns = start_of(lines.repetitions, model, StartSource::kDisk);
  summary.start_page_cache_ns = start_of(lines.repetitions, model, StartSource::kPageCache);
  summary.start_host_memory_ns = start_of(lines.repetitions, model, StartSource::kHostMemory);
  summary.alone_tok_per_s = estimate_over_repetitions(alone);
  summary.loads = median(loads).value_or(0);
  summary.evictions = median(evictions).value_or(0);
  return summary;
}

}  // namespace

std::optional<SwapSummary> summarize_swap(const CellLines& lines, const CellSummary& cell,
                                          const std::optional<double>& usd_per_hour) {
  const bool has_all =
      std::ranges::all_of(lines.repetitions, [](const Repetition* one) { return one->swap.has_value(); });
  if (!cell.scenario.swap || lines.repetitions.empty() || !has_all) return std::nullopt;
  SwapSummary summary;
  summary.memory_budget_bytes = cell.scenario.swap->memory_budget_bytes;
  summary.budget_models = cell.scenario.swap->budget_models;
  std::vector<double> loads, evictions, unswapped, lost, bytes, models, load_shares;
  for (std::size_t index = 0; index < lines.repetitions.size(); ++index) {
    const Repetition& repetition = *lines.repetitions[index];
    const SwapRecord& record = *repetition.swap;
    std::int64_t tokens = 0, alone_ns = 0, event_ns = 0;
    for (const SwappedModel& one : record.models) {
      tokens += one.alone_tokens;
      alone_ns += one.alone_ns;
    }
    if (summary.memory_why_not.empty()) summary.memory_why_not = record.memory_why_not;
    for (const SwapEvent& event : record.events) event_ns += event.duration_ns;
    loads.push_back(count_of(record, SwapAction::kLoad));
    evictions.push_back(count_of(record, SwapAction::kEviction));
    unswapped.push_back(rate_per_s(tokens, alone_ns));
    lost.push_back(unswapped.back() - cell.output_tok_per_s_by_repetition[index]);
    const std::int64_t window_ns = repetition.window_end_ns - repetition.window_start_ns;
    if (window_ns > 0) load_shares.push_back(static_cast<double>(event_ns) / static_cast<double>(window_ns));
    const Residency residency = residency_of(repetition, lines.samples);
    if (!(residency.ns > 0)) continue;
    if (residency.byte_ns) bytes.push_back(*residency.byte_ns / residency.ns);
    models.push_back(residency.model_ns / residency.ns);
  }
  summary.loads = median(loads).value_or(0);
  summary.evictions = median(evictions).value_or(0);
  summary.peak_resident_bytes = peak_bytes_of(lines.repetitions);
  summary.mean_resident_bytes = median(bytes);
  summary.mean_resident_models = median(models);
  summary.unswapped_tok_per_s = estimate_over_repetitions(unswapped);
  summary.lost_tok_per_s = estimate_over_repetitions(lost);
  if (const auto whole = summary.unswapped_tok_per_s.value; whole && *whole > 0 && summary.lost_tok_per_s.value) {
    summary.lost_share = *summary.lost_tok_per_s.value / *whole;
  }
  summary.load_time_share = median(load_shares);
  const std::vector<double> shares = mix_shares(*cell.scenario.swap);
  for (std::size_t index = 0; index < shares.size(); ++index) {
    SwapModelSummary model = summarize_model(lines, cell.scenario.swap->models[index], shares[index]);
    if (usd_per_hour && summary.budget_models > 0) {
      model.usd_per_resident_hour = *usd_per_hour / summary.budget_models;
    } else if (usd_per_hour && model.resident_bytes) {
      model.usd_per_resident_hour =
          usd_per_resident_hour(*usd_per_hour, *model.resident_bytes, summary.memory_budget_bytes);
    }
    summary.models.push_back(std::move(model));
  }
  return summary;
}

}  // namespace secondsource
