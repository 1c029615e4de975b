#include "summary/cell_series.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "summary/cell_lines.h"

namespace secondsource {
namespace {

constexpr std::size_t kTimelineRequests = 64;
constexpr double kMsPerNs = 1e-6;

/// Adds the requests of the first complete repetition, in the order in which they were scheduled.
void add_timeline(const std::vector<const RequestSample*>& counted, CellSeries& series) {
  std::vector<const RequestSample*> shown;
  for (const RequestSample* sample : counted) {
    if (sample->repetition != counted.front()->repetition) break;
    if (sample->first_token_ns && sample->last_token_ns) shown.push_back(sample);
  }
  std::stable_sort(shown.begin(), shown.end(),
                   [](const RequestSample* a, const RequestSample* b) { return a->scheduled_ns < b->scheduled_ns; });
  const std::size_t n = std::min(shown.size(), kTimelineRequests);
  series.n_left_out = static_cast<std::int64_t>(shown.size() - n);
  for (std::size_t i = 0; i < n; ++i) {
    const RequestSample& sample = *shown[i];
    const std::int64_t started_ns =
        std::min(sample.sent_ns + sample.parts.queue_ns.value_or(0), *sample.first_token_ns);
    series.timeline.push_back({sample.request, static_cast<double>(sample.scheduled_ns) * kMsPerNs,
                               static_cast<double>(started_ns) * kMsPerNs,
                               static_cast<double>(*sample.first_token_ns) * kMsPerNs,
                               static_cast<double>(*sample.last_token_ns) * kMsPerNs});
  }
}

void add_step_rates(const std::vector<const Repetition*>& repetitions, CellSeries& series) {
  constexpr std::pair<const char*, StepWork Repetition::*> kKinds[] = {
      {"prefill", &Repetition::prefill}, {"decode", &Repetition::decode}, {"mixed", &Repetition::mixed}};
  for (const auto& [kind, work_of] : kKinds) {
    double flops = 0;
    double bytes = 0;
    std::int64_t ns = 0;
    for (const Repetition* repetition : repetitions) {
      const StepWork& work = repetition->*work_of;
      flops += work.flops;
      bytes += work.weight_bytes + work.kv_bytes;
      ns += work.ns;
    }
    if (flops > 0 && bytes > 0 && ns > 0)
      series.step_rates.push_back({kind, flops / bytes, 1e9 * flops / static_cast<double>(ns)});
  }
}

void add_residents(const std::vector<const Repetition*>& repetitions, const std::vector<const RequestSample*>& counted,
                   CellSeries& series) {
  const auto first =
      std::ranges::find_if(repetitions, [](const Repetition* repetition) { return repetition->swap.has_value(); });
  if (first == repetitions.end()) return;
  std::vector<const RequestSample*> samples;
  std::ranges::copy_if(counted, std::back_inserter(samples),
                       [first](const RequestSample* sample) { return sample->repetition == (*first)->repetition; });
  series.residents = resident_course(*(*first)->swap, samples);
}

Distribution sorted_distribution(std::vector<double> samples_ns) {
  std::sort(samples_ns.begin(), samples_ns.end());
  return distribution_of(samples_ns, kMsPerNs);
}

}  // namespace

std::vector<CellSeries> cell_series(const RunRecord& record, const Journal& journal) {
  const auto lines_of = lines_by_cell(journal);
  std::vector<CellSeries> result;
  for (const PlannedCell& planned : record.cells) {
    const auto lines = lines_of.find(planned.key.id());
    if (lines == lines_of.end()) continue;
    const std::vector<const RequestSample*> counted = lines->second.counted();
    std::vector<double> ttft, itl;
    for (const RequestSample* sample : counted) {
      if (!sample->error.empty()) continue;
      if (const auto ns = sample->ttft_e2e_ns()) ttft.push_back(static_cast<double>(*ns));
      for (const std::int64_t gap : sample->itl_ns) itl.push_back(static_cast<double>(gap));
    }
    if (ttft.empty()) continue;
    CellSeries series;
    series.cell = planned.key.id();
    add_timeline(counted, series);
    add_step_rates(lines->second.repetitions, series);
    add_residents(lines->second.repetitions, counted, series);
    series.ttft_ms = sorted_distribution(std::move(ttft));
    series.itl_ms = sorted_distribution(std::move(itl));
    result.push_back(std::move(series));
  }
  return result;
}

}  // namespace secondsource
