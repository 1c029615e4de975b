#include "report/summarize.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "report/record_json.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

/// What the journal holds of one cell.
struct CellLines {
  std::vector<const RequestSample*> samples;
  std::vector<const Repetition*> repetitions;
};

Estimate estimate(std::vector<double> samples, double q) {
  Estimate result;
  result.n = static_cast<std::int64_t>(samples.size());
  if (const auto quantile = estimate_quantile(std::move(samples), q)) {
    result.value = quantile->value;
    result.low = quantile->low;
    result.high = quantile->high;
  } else {
    result.why_not = fmt::format("needs {} samples, has {}", smallest_sample_for(q), result.n);
  }
  return result;
}

/// The median over repetitions: its value even of few, the interval only where they support one.
Estimate estimate_over_repetitions(const std::vector<double>& values) {
  Estimate result = estimate(values, 0.5);
  if (!result.value) result.value = median(values);
  return result;
}

double tokens_per_s(std::int64_t tokens, std::int64_t duration_ns) {
  return duration_ns > 0 ? 1e9 * static_cast<double>(tokens) / static_cast<double>(duration_ns) : 0;
}

void summarize_latency(std::span<const RequestSample* const> samples, CellSummary& cell) {
  std::vector<double> ttft_e2e, ttft_visible, ttft_kernel, tpot, itl;
  std::int64_t output_tokens = 0;
  std::int64_t verified_tokens = 0;
  bool any_judged = false;
  for (const RequestSample* sample : samples) {
    if (!sample->error.empty()) {
      ++cell.n_errors;
      continue;
    }
    ++cell.n_samples;
    const auto keep = [](std::vector<double>& into, const auto& value) {
      if (value) into.push_back(static_cast<double>(*value));
    };
    keep(ttft_e2e, sample->ttft_e2e_ns());
    keep(ttft_visible, sample->ttft_visible_ns());
    keep(ttft_kernel, sample->ttft_kernel_ns);
    keep(tpot, sample->tpot_ns());
    for (const std::int64_t gap : sample->itl_ns) itl.push_back(static_cast<double>(gap));
    output_tokens += sample->n_output_tokens;
    verified_tokens += sample->verified_tokens.value_or(0);
    any_judged = any_judged || sample->verified_tokens.has_value();
  }
  if (any_judged && output_tokens > 0) {
    cell.verified_share = static_cast<double>(verified_tokens) / static_cast<double>(output_tokens);
  }
  cell.ttft_e2e_p95_ns = estimate(ttft_e2e, 0.95);
  cell.ttft_e2e_p50_ns = estimate(std::move(ttft_e2e), 0.5);
  cell.ttft_visible_p50_ns = estimate(std::move(ttft_visible), 0.5);
  cell.ttft_kernel_p50_ns = estimate(std::move(ttft_kernel), 0.5);
  cell.tpot_p50_ns = estimate(std::move(tpot), 0.5);
  cell.itl_p99_ns = estimate(itl, 0.99);
  cell.itl_p50_ns = estimate(std::move(itl), 0.5);
  if (cell.tpot_p50_ns.value && *cell.tpot_p50_ns.value > 0) cell.tok_per_s_per_user = 1e9 / *cell.tpot_p50_ns.value;
}

void summarize_throughput(std::span<const Repetition* const> repetitions, CellSummary& cell) {
  std::vector<double> decode, prefill;
  for (const Repetition* repetition : repetitions) {
    cell.output_tok_per_s_by_repetition.push_back(
        tokens_per_s(repetition->window_output_tokens, repetition->window_end_ns - repetition->window_start_ns));
    if (repetition->decode_ns > 0) decode.push_back(tokens_per_s(repetition->decode_tokens, repetition->decode_ns));
    if (repetition->prefill_ns > 0) prefill.push_back(tokens_per_s(repetition->prefill_tokens, repetition->prefill_ns));
    if (!cell.memory || repetition->memory.peak_bytes > cell.memory->peak_bytes) cell.memory = repetition->memory;
    cell.peak_rss_bytes = std::max(cell.peak_rss_bytes.value_or(0), repetition->host_memory.peak_rss_bytes);
    if (repetition->others_cpu_share) {
      cell.others_cpu_share = std::max(cell.others_cpu_share.value_or(0), *repetition->others_cpu_share);
    }
    for (const std::string& reason : repetition->invalid) {
      cell.status = "invalid";
      cell.notes.push_back(fmt::format("repetition {}: {}", repetition->repetition, reason));
    }
    if (!repetition->warmup_settled) {
      cell.notes.push_back(fmt::format("repetition {}: warm-up did not settle", repetition->repetition));
    }
  }
  cell.output_tok_per_s = estimate_over_repetitions(cell.output_tok_per_s_by_repetition);
  cell.decode_tok_per_s = estimate_over_repetitions(decode);
  cell.prefill_tok_per_s = estimate_over_repetitions(prefill);
}

/// The median TTFT of each whole repetition, for the gate.
void summarize_ttft_by_repetition(const CellLines& lines, CellSummary& cell) {
  for (const Repetition* repetition : lines.repetitions) {
    std::vector<double> ttft;
    for (const RequestSample* sample : lines.samples) {
      if (sample->repetition != repetition->repetition || !sample->error.empty()) continue;
      if (const auto ns = sample->ttft_e2e_ns()) ttft.push_back(static_cast<double>(*ns));
    }
    if (const auto middle = median(ttft)) cell.ttft_p50_ns_by_repetition.push_back(*middle);
  }
}

void summarize_cost(const RunRecord& record, CellSummary& cell) {
  double n_units_used = 1;
  for (const BackendRecord& backend : record.backends) {
    if (backend.name == cell.key.backend) n_units_used = backend.n_units_used;
  }
  if (!cell.output_tok_per_s.value || !(*cell.output_tok_per_s.value > 0)) return;
  const double output_rate = *cell.output_tok_per_s.value;
  cell.device_hours_per_million = device_hours_per_million_tokens(1, output_rate);
  if (!record.price) return;
  Price price = *record.price;
  // A price of one unit is for all that the run used; an instance of several is charged by the share that it used.
  if (price.n_units > 1) price.n_units_used = n_units_used;
  cell.usd_per_1k_output = usd_per_1k_tokens(price, output_rate);
  const double prompt_share = cell.scenario.n_prompt_tokens > 0 && cell.scenario.n_output_tokens > 0
                                  ? static_cast<double>(cell.scenario.n_prompt_tokens) / cell.scenario.n_output_tokens
                                  : 0;
  if (prompt_share > 0) cell.usd_per_1k_total = usd_per_1k_tokens(price, output_rate * (1 + prompt_share));
}

/// Timed requests that left the reference where it was no near tie: as bad as a golden pass that failed.
void note_wrong_tokens(const CellLines& lines, CellSummary& cell) {
  const auto n_wrong = std::count_if(lines.samples.begin(), lines.samples.end(),
                                     [](const RequestSample* sample) { return sample->wrong_at.has_value(); });
  if (n_wrong == 0) return;
  cell.golden = "failed";
  cell.notes.push_back(fmt::format("{} of {} timed requests left the reference", n_wrong, lines.samples.size()));
}

CellSummary summarize_cell(const RunRecord& record, const PlannedCell& planned, const CellLines& lines) {
  CellSummary cell;
  cell.key = planned.key;
  cell.scenario = planned.scenario;
  cell.n_repetitions = static_cast<std::int32_t>(lines.repetitions.size());
  cell.status = lines.repetitions.empty()                  ? "missing"
                : cell.n_repetitions < planned.repetitions ? "partial"
                                                           : "complete";
  std::set<std::int32_t> whole;
  for (const Repetition* repetition : lines.repetitions) whole.insert(repetition->repetition);
  std::vector<const RequestSample*> counted;
  for (const RequestSample* sample : lines.samples) {
    if (!sample->warmup && whole.contains(sample->repetition)) counted.push_back(sample);
  }
  summarize_latency(counted, cell);
  summarize_throughput(lines.repetitions, cell);
  summarize_ttft_by_repetition({counted, lines.repetitions}, cell);
  summarize_cost(record, cell);
  return cell;
}

}  // namespace

RunSummary summarize(const RunRecord& record, const Journal& journal) {
  RunSummary summary;
  summary.run_id = record.run_id;
  std::map<std::string, CellLines> lines_of;
  // A verdict and a failure that were journaled again by a resumed run replace the earlier ones.
  std::map<std::string, GoldenRecord> golden_of;
  for (const JournalLine& line : journal.lines) {
    if (const auto* sample = std::get_if<RequestSample>(&line)) {
      lines_of[sample->cell].samples.push_back(sample);
    } else if (const auto* repetition = std::get_if<Repetition>(&line)) {
      lines_of[repetition->cell].repetitions.push_back(repetition);
    } else if (const auto* golden = std::get_if<GoldenRecord>(&line)) {
      golden_of[golden->bundle + "/" + golden->backend + "/" + golden->variant] = *golden;
    } else if (const auto* failure = std::get_if<FailureRecord>(&line)) {
      summary.failures.push_back(*failure);
    }
  }
  for (const PlannedCell& planned : record.cells) {
    CellSummary cell = summarize_cell(record, planned, lines_of[planned.key.id()]);
    const auto golden = golden_of.find(planned.key.bundle + "/" + planned.key.backend + "/" + planned.key.variant);
    cell.golden = golden == golden_of.end() ? "not run" : golden->second.verdict;
    note_wrong_tokens(lines_of[planned.key.id()], cell);
    if (cell.status == "missing" || cell.status == "partial") {
      for (const FailureRecord& failure : summary.failures) {
        const bool concerns = failure.cell == planned.key.id() || planned.key.id().starts_with(failure.cell + "/") ||
                              (failure.cell.empty() && failure.backend == planned.key.backend);
        if (!concerns) continue;
        cell.status = "failed";
        cell.notes.push_back(failure.kind + ": " + failure.message);
      }
    }
    summary.cells.push_back(std::move(cell));
  }
  for (auto& [key, golden] : golden_of) summary.golden.push_back(std::move(golden));
  return summary;
}

}  // namespace secondsource
