#include "summary/summarize.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>

#include "core/enum_format.h"
#include "record/roofline.h"
#include "record/slo.h"
#include "stats/proportion.h"
#include "stats/quantile.h"
#include "summary/cell_lines.h"
#include "summary/latency_summary.h"
#include "summary/load_summary.h"
#include "summary/metric_values.h"
#include "summary/swap_summary.h"

namespace secondsource {
namespace {

double tokens_per_s(std::int64_t tokens, std::int64_t duration_ns) {
  return duration_ns > 0 ? 1e9 * static_cast<double>(tokens) / static_cast<double>(duration_ns) : 0;
}

std::optional<double> median_reading(std::span<const Repetition* const> repetitions, std::string_view name) {
  std::vector<double> values;
  for (const Repetition* repetition : repetitions) {
    for (const TelemetryReading& reading : repetition->telemetry) {
      if (reading.name == name && reading.value) values.push_back(*reading.value);
    }
  }
  return median(values);
}

/// One reading per sensor, in the order of first appearance: the median over the repetitions in which it could be read,
/// otherwise the reason why it could not.
std::vector<TelemetryReading> median_telemetry(std::span<const Repetition* const> repetitions) {
  std::vector<TelemetryReading> sensors;
  std::map<std::string_view, std::vector<double>> values_of;
  for (const Repetition* repetition : repetitions) {
    for (const TelemetryReading& reading : repetition->telemetry) {
      const auto [values, is_new] = values_of.try_emplace(reading.name);
      if (is_new) sensors.push_back({reading.name, std::nullopt, reading.why_not});
      if (reading.value) values->second.push_back(*reading.value);
    }
  }
  for (TelemetryReading& sensor : sensors) {
    sensor.value = median(values_of[sensor.name]);
    if (sensor.value) sensor.why_not.clear();
  }
  return sensors;
}

void summarize_throughput(std::span<const Repetition* const> repetitions, CellSummary& cell) {
  std::vector<double> decode, prefill, achieved, utilisation;
  double cpu_s = 0;
  double wall_s = 0;
  for (const Repetition* repetition : repetitions) {
    cell.output_tok_per_s_by_repetition.push_back(
        tokens_per_s(repetition->window_output_tokens, repetition->window_end_ns - repetition->window_start_ns));
    if (repetition->decode.ns > 0) decode.push_back(tokens_per_s(repetition->decode.tokens, repetition->decode.ns));
    if (repetition->prefill.ns > 0) prefill.push_back(tokens_per_s(repetition->prefill.tokens, repetition->prefill.ns));
    // A system that does not count its memory, such as a server, has a peak of 0.
    const std::int64_t highest = cell.memory ? cell.memory->peak_bytes : 0;
    if (repetition->memory.peak_bytes > highest) cell.memory = repetition->memory;
    cell.peak_rss_bytes = std::max(cell.peak_rss_bytes.value_or(0), repetition->host_memory.peak_rss_bytes);
    if (repetition->others_cpu_share) {
      cell.others_cpu_share = std::max(cell.others_cpu_share.value_or(0), *repetition->others_cpu_share);
    }
    if (repetition->rate_per_s) cell.rate_per_s = repetition->rate_per_s;
    if (repetition->achieved_rate_per_s) achieved.push_back(*repetition->achieved_rate_per_s);
    cpu_s += repetition->process_cpu_s;
    wall_s += repetition->wall_s;
    // A system that does not show its steps, such as a server, has none.
    const std::int64_t step_ns = all_steps(*repetition).ns;
    if (repetition->wall_s > 0 && step_ns > 0) {
      utilisation.push_back(1e-9 * static_cast<double>(step_ns) / repetition->wall_s);
    }
  }
  for (const Repetition* repetition : repetitions) {
    const std::vector<double>& windows = repetition->warmup_ns_per_token;
    if (windows.empty() || !(windows.back() > 0)) continue;  // only the first repetition of a worker has a warm-up
    cell.first_to_settled = windows.front() / windows.back();
    cell.load_ns = repetition->load_ns;
    cell.compile_ns = repetition->compile_ns;
    break;
  }
  cell.achieved_rate_per_s = median(achieved);
  cell.device_utilisation = median(utilisation);
  if (wall_s > 0) cell.busy_vcpus = cpu_s / wall_s;
  cell.telemetry = median_telemetry(repetitions);
  cell.machine_read_bytes_per_s = median_reading(repetitions, kMachineReadReading);
  cell.machine_f32_flops = median_reading(repetitions, kMachineF32Reading);
  cell.output_tok_per_s = estimate_over_repetitions(cell.output_tok_per_s_by_repetition);
  cell.decode_tok_per_s = estimate_over_repetitions(decode);
  cell.prefill_tok_per_s = estimate_over_repetitions(prefill);
}

/// The mean over repetitions of the largest share of time that one of their checks saw lost; nullopt if none can tell.
std::optional<double> mean_time_lost(std::span<const Repetition* const> repetitions) {
  double sum = 0;
  int n_known = 0;
  for (const Repetition* repetition : repetitions) {
    std::optional<double> largest;
    for (const CheckRecord& check : repetition->checks) {
      if (check.lost) largest = std::max(largest.value_or(0), *check.lost);
    }
    if (!largest) continue;
    sum += *largest;
    ++n_known;
  }
  return n_known == 0 ? std::nullopt : std::optional(sum / n_known);
}

/// Keeps the worst outcome of each check and adds a note for each check that was not passed.
void summarize_checks(std::span<const Repetition* const> repetitions, CellSummary& cell) {
  // Ranks outcomes from good to bad.
  const auto badness = [](CheckOutcome outcome) {
    constexpr std::array kOrder = {CheckOutcome::kPassed, CheckOutcome::kNotAvailable, CheckOutcome::kSuspect,
                                   CheckOutcome::kInvalid};
    return std::find(kOrder.begin(), kOrder.end(), outcome) - kOrder.begin();
  };
  std::map<std::string, std::int32_t> n_worst;
  for (const Repetition* repetition : repetitions) {
    for (const CheckRecord& check : repetition->checks) {
      auto worst = std::find_if(cell.checks.begin(), cell.checks.end(),
                                [&](const CheckRecord& one) { return one.name == check.name; });
      if (worst == cell.checks.end()) worst = cell.checks.insert(worst, check);
      const auto change = badness(check.outcome) - badness(worst->outcome);
      if (change > 0) *worst = check;
      n_worst[check.name] = change > 0 ? 1 : n_worst[check.name] + (change == 0 ? 1 : 0);
    }
  }
  for (const CheckRecord& check : cell.checks) {
    if (check.outcome == CheckOutcome::kInvalid) cell.status = CellStatus::kInvalid;
    if (check.outcome != CheckOutcome::kInvalid && check.outcome != CheckOutcome::kSuspect) continue;
    cell.notes.push_back(fmt::format("{}{}: {} ({} of {} repetitions)",
                                     check.outcome == CheckOutcome::kInvalid ? kInvalidNote : "suspect: ", check.name,
                                     check.detail, n_worst[check.name], repetitions.size()));
  }
  cell.time_lost = mean_time_lost(repetitions);
}

/// The time of a request's prefill at the limit that bounds it / the median time to the first token, which also
/// includes everything else. The time of `prefill` is divided among requests in proportion to their computed prompt
/// tokens.
std::optional<LimitShare> first_token_of_limit(const StepWork& prefill, const CellSummary& cell) {
  const std::optional<double> ttft_ns = median(cell.ttft_p50_ns_by_repetition);
  if (!cell.prefill_of_limit || !cell.mean_prompt_tokens || !ttft_ns || !(*ttft_ns > 0)) return std::nullopt;
  const double n_computed = *cell.mean_prompt_tokens * (1 - cell.prefix_hit_rate.value_or(0));
  const double prefill_ns = static_cast<double>(prefill.ns) * n_computed / static_cast<double>(prefill.tokens);
  return LimitShare{cell.prefill_of_limit->share * prefill_ns / *ttft_ns, cell.prefill_of_limit->limit};
}

/// Computes the shares of the machine's limits, and which limit binds the kind of steps that took most of the time.
void summarize_bound(const RunRecord& record, std::span<const Repetition* const> repetitions, CellSummary& cell) {
  const std::optional<LimitLooks> looks = limits_of(record, cell.key.backend);
  if (!looks) return;
  const MachineLimits& limits = looks->best;
  StepWork prefill, decode, mixed;
  for (const Repetition* repetition : repetitions) {
    prefill += repetition->prefill;
    decode += repetition->decode;
    mixed += repetition->mixed;
  }
  const RooflineUse decode_use = roofline_use(decode, limits, cell.key.variant);
  const RooflineUse prefill_use = roofline_use(prefill, limits, cell.key.variant);
  cell.read_fraction = decode_use.read;
  cell.flops_fraction = prefill_use.operations;
  cell.decode_of_limit = nearer_limit(decode_use);
  cell.prefill_of_limit = nearer_limit(prefill_use);
  cell.first_token_of_limit = first_token_of_limit(prefill, cell);
  const std::pair<const char*, const StepWork*> kinds[] = {
      {"prefill", &prefill}, {"decode", &decode}, {"mixed", &mixed}};
  const auto& [name, longest] = *std::ranges::max_element(kinds, {}, [](const auto& kind) { return kind.second->ns; });
  Bound bound = bound_of(*longest, limits, cell.key.variant, name, cell.others_cpu_share.value_or(0));
  cell.bound = bound.bottleneck;
  cell.bound_why = std::move(bound.why);
}

/// Computes which share of the requests kept the SLO, and the goodput.
void summarize_slo(const RunRecord& record, const CellLines& lines, CellSummary& cell) {
  if (!record.slo) {
    cell.slo_attainment.why_not = cell.goodput_req_per_s.why_not = "no SLO was given (--slo)";
    return;
  }
  const SloAttainment all = attainment(lines.samples, *record.slo);
  cell.slo_attainment.n = all.n_requests;
  if (all.n_requests == 0) return;
  const ProportionBounds bounds = proportion_bounds(all.n_kept, all.n_requests);
  cell.slo_attainment.value = static_cast<double>(all.n_kept) / static_cast<double>(all.n_requests);
  cell.slo_attainment.low = bounds.low;
  cell.slo_attainment.high = bounds.high;
  std::vector<double> requests_per_s, tokens_per_s_each;
  for (const Repetition* repetition : lines.repetitions) {
    const std::int64_t window_ns = repetition->window_end_ns - repetition->window_start_ns;
    std::int64_t n_kept = 0;
    std::int64_t n_tokens = 0;
    for (const RequestSample* sample : lines.samples) {
      if (sample->repetition != repetition->repetition || !keeps(*sample, *record.slo)) continue;
      const bool ended_inside =
          sample->last_token_ns > repetition->window_start_ns && sample->last_token_ns <= repetition->window_end_ns;
      if (!ended_inside) continue;
      ++n_kept;
      n_tokens += sample->n_output_tokens;
    }
    requests_per_s.push_back(tokens_per_s(n_kept, window_ns));
    tokens_per_s_each.push_back(tokens_per_s(n_tokens, window_ns));
  }
  cell.goodput_req_per_s = estimate_over_repetitions(requests_per_s);
  cell.goodput_tok_per_s = median(tokens_per_s_each);
}

/// The price of what the cell's backend used; nullopt without a price.
std::optional<Price> charged_price(const RunRecord& record, const CellSummary& cell) {
  const std::optional<PriceShare> share = price_share_of(record, cell.key.backend);
  if (!share) return std::nullopt;
  Price price = *record.price;
  price.n_units = share->n_of;
  price.n_units_used = share->n_used;
  return price;
}

void summarize_cost(const RunRecord& record, CellSummary& cell) {
  double n_devices = 1;  // a host counts as one device, however many of its CPUs were used
  for (const BackendRecord& backend : record.backends) {
    if (backend.name != cell.key.backend) continue;
    if (!backend.device.is_host) n_devices = backend.n_units_used;
  }
  if (!cell.output_tok_per_s.value || !(*cell.output_tok_per_s.value > 0)) return;
  const double output_rate = *cell.output_tok_per_s.value;
  cell.tok_per_s_per_device = output_rate / n_devices;
  cell.device_hours_per_million = device_hours_per_million_tokens(n_devices, output_rate);
  const std::optional<Price> price = charged_price(record, cell);
  if (!price) return;
  cell.usd_per_1k_output = usd_per_1k_tokens(*price, output_rate);
  if (cell.mean_prompt_tokens.value_or(0) > 0 && cell.mean_output_tokens.value_or(0) > 0) {
    const double total_rate = output_rate * (1 + *cell.mean_prompt_tokens / *cell.mean_output_tokens);
    cell.usd_per_1k_total = usd_per_1k_tokens(*price, total_rate);
  }
}

/// Timed requests that differ from the reference other than at a near tie count like a failed golden pass.
void note_wrong_tokens(const CellLines& lines, CellSummary& cell) {
  const auto n_wrong = std::count_if(lines.samples.begin(), lines.samples.end(),
                                     [](const RequestSample* sample) { return sample->wrong_at.has_value(); });
  if (n_wrong == 0) return;
  cell.golden = GoldenVerdict::kFailed;
  cell.notes.push_back(
      fmt::format("{} of {} timed requests have other tokens than the reference", n_wrong, lines.samples.size()));
}

/// Copies what the run recorded about the bundle and the cell's variant; a variant without a record counts as blessed.
void summarize_bundle(const RunRecord& record, CellSummary& cell) {
  const auto bundle = std::ranges::find(record.bundles, cell.key.bundle, &BundleRecord::name);
  if (bundle == record.bundles.end()) return;
  cell.source_quantization = bundle->source_quantization;
  const auto variant = std::ranges::find(bundle->variants, cell.key.variant, &VariantRecord::name);
  if (variant == bundle->variants.end()) return;
  cell.tier = variant->tier;
  cell.outside_limits = variant->outside_limits;
}

CellSummary summarize_cell(const RunRecord& record, const PlannedCell& planned, const CellLines& lines) {
  CellSummary cell;
  cell.key = planned.key;
  cell.scenario = planned.scenario;
  cell.throughput_basis = basis_of(planned.scenario);
  summarize_bundle(record, cell);
  cell.n_repetitions = static_cast<std::int32_t>(lines.repetitions.size());
  cell.status = lines.repetitions.empty()                  ? CellStatus::kMissing
                : cell.n_repetitions < planned.repetitions ? CellStatus::kPartial
                                                           : CellStatus::kComplete;
  const std::vector<const RequestSample*> counted = lines.counted();
  summarize_latency({counted, lines.repetitions}, cell);
  summarize_throughput(lines.repetitions, cell);
  summarize_checks(lines.repetitions, cell);
  summarize_bound(record, lines.repetitions, cell);
  summarize_slo(record, {counted, lines.repetitions}, cell);
  summarize_load({counted, lines.repetitions}, cell);
  summarize_cost(record, cell);
  const std::optional<Price> price = charged_price(record, cell);
  cell.swap = summarize_swap({counted, lines.repetitions}, cell,
                             price ? std::optional(price->usd_per_hour_used()) : std::nullopt);
  return cell;
}

/// The failures that still stand. A resumed run may retry what failed, and then its later lines count: another failure
/// of the same cells, or something that was measured of them.
class StandingFailures {
 public:
  void add(const FailureRecord& failure) {
    std::erase_if(failures_, [&](const FailureRecord& earlier) {
      return earlier.backend == failure.backend && earlier.cell == failure.cell;
    });
    failures_.push_back(failure);
  }
  /// Removes the earlier failures of `id`, a cell or BUNDLE/BACKEND/VARIANT, because a measurement or verdict of it
  /// followed.
  void note_success(const std::string& id) {
    std::erase_if(failures_, [&](const FailureRecord& earlier) {
      return earlier.cell == id || (!earlier.cell.empty() && id.starts_with(earlier.cell + "/"));
    });
  }
  [[nodiscard]] std::vector<FailureRecord> take() { return std::move(failures_); }

 private:
  std::vector<FailureRecord> failures_;
};

}  // namespace

bool concerns(const FailureRecord& failure, const CellKey& cell) {
  if (failure.cell.empty()) return failure.backend == cell.backend;
  const std::string id = cell.id();
  return failure.cell == id || id.starts_with(failure.cell + "/");
}

bool is_named(const RunRecord& record, std::string_view backend) {
  return std::ranges::find(record.settings.named_backends, backend) != record.settings.named_backends.end();
}

bool counts_as_failure(const RunRecord& record, const FailureRecord& failure) {
  return failure.kind != FailureKind::kNoRate &&
         (failure.kind != FailureKind::kUnsupported || is_named(record, failure.backend));
}

bool is_declined(const RunRecord& record, const RunSummary& summary, const CellSummary& cell) {
  if (cell.status != CellStatus::kFailed) return false;
  bool any = false;
  for (const FailureRecord& failure : summary.failures) {
    if (!concerns(failure, cell.key)) continue;
    if (counts_as_failure(record, failure)) return false;
    any = true;
  }
  return any;
}

RunSummary summarize(const RunRecord& record, const Journal& journal) {
  RunSummary summary;
  summary.run_id = record.run_id;
  const auto lines_of = lines_by_cell(journal);
  static const CellLines kNone;
  const auto lines_of_cell = [&](const std::string& cell) -> const CellLines& {
    const auto found = lines_of.find(cell);
    return found == lines_of.end() ? kNone : found->second;
  };
  // If a resumed run writes a verdict again, the later one replaces the earlier one.
  StandingFailures failures;
  std::map<std::string, GoldenRecord> golden_of;
  for (const JournalLine& line : journal.lines) {
    if (const auto* golden = std::get_if<GoldenRecord>(&line)) {
      const std::string of = golden->bundle + "/" + golden->backend + "/" + golden->variant;
      golden_of[of] = *golden;
      failures.note_success(of);
    } else if (const auto* failure = std::get_if<FailureRecord>(&line)) {
      failures.add(*failure);
    } else if (const auto* repetition = std::get_if<Repetition>(&line)) {
      failures.note_success(repetition->cell);
    }
  }
  summary.failures = failures.take();
  for (const PlannedCell& planned : record.cells) {
    const CellLines& lines = lines_of_cell(planned.key.id());
    CellSummary cell = summarize_cell(record, planned, lines);
    const auto golden = golden_of.find(planned.key.bundle + "/" + planned.key.backend + "/" + planned.key.variant);
    cell.golden = golden == golden_of.end() ? GoldenVerdict::kNotRun : golden->second.verdict;
    if (golden != golden_of.end()) cell.golden_level = golden->second.level;
    note_wrong_tokens(lines, cell);
    if (cell.status == CellStatus::kMissing || cell.status == CellStatus::kPartial) {
      for (const FailureRecord& failure : summary.failures) {
        if (!concerns(failure, planned.key)) continue;
        cell.status = CellStatus::kFailed;
        cell.notes.push_back(fmt::format("{}: {}", failure.kind, failure.message));
      }
    }
    summary.cells.push_back(std::move(cell));
  }
  for (auto& [key, golden] : golden_of) summary.golden.push_back(std::move(golden));
  return summary;
}

}  // namespace secondsource
