#include "brief/sku.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/counted.h"
#include "core/enum_format.h"
#include "core/shell_text.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

/// A cell has a usable speed only if it was measured, is not INVALID and has no wrong token.
bool has_measured_speed(const CellSummary& cell) {
  return cell.golden != GoldenVerdict::kFailed &&
         (cell.status == CellStatus::kComplete || cell.status == CellStatus::kPartial) &&
         cell.output_tok_per_s.value.value_or(0) > 0;
}

Interval interval_of(const Estimate& estimate, double factor = 1) {
  Interval interval{.value = *estimate.value * factor};
  if (estimate.low && estimate.high) {
    interval.low = *estimate.low * factor;
    interval.high = *estimate.high * factor;
  }
  return interval;
}

std::string run_reference(const BriefRun& run, const std::string& cell_id) {
  return fmt::format("run {} {}", run.stored.record.run_id, cell_id);
}

Speed speed_of(const BriefRun& run, const CellSummary& cell) {
  return {.tok_per_s = interval_of(cell.output_tok_per_s),
          .why_not = {},
          .from = cell.key.id(),
          .evidence = {.measured = true, .basis = {run_reference(run, cell.key.id())}}};
}

Latency latency_of(const Estimate& estimate) {
  constexpr double kMsPerNs = 1e-6;
  if (!estimate.value) return {.ms = {}, .why_not = estimate.why_not};
  return {.ms = interval_of(estimate, kMsPerNs), .why_not = {}};
}

bool has_device_power(const Repetition& repetition) {
  return std::any_of(repetition.telemetry.begin(), repetition.telemetry.end(),
                     [](const TelemetryReading& reading) { return reading.name == "device_power_w"; });
}

/// The fastest of the cells for which `admits` is true, or nullptr.
template <typename Admits>
const CellSummary* fastest(const std::vector<const CellSummary*>& cells, Admits admits) {
  const CellSummary* best = nullptr;
  for (const CellSummary* cell : cells) {
    if (!has_measured_speed(*cell) || !admits(*cell)) continue;
    if (best == nullptr || *cell->output_tok_per_s.value > *best->output_tok_per_s.value) best = cell;
  }
  return best;
}

class MeasuredSku {
 public:
  MeasuredSku(Sku& sku, const Demand& demand) : sku_(sku), demand_(demand) {}

  Result<void> resolve(std::span<const BriefRun> runs) {
    SS_TRY_VOID(find_cells(runs));
    SS_TRY_VOID(fit_to_price());
    sku_.model = sku_.spec.measured->bundle;
    sku_.precision = sku_.spec.measured->variant;
    sku_.command = command_to_measure();
    find_full_load();
    SS_TRY_VOID(find_at_slo());
    find_latency();
    find_power_and_memory();
    find_faults();
    find_assumptions();
    return {};
  }

 private:
  [[nodiscard]] Error fault(const std::string& message) const {
    return Error{ErrorCode::kInvalidInput, fmt::format("sku {}: {}", sku_.spec.id, message)};
  }

  Result<void> find_cells(std::span<const BriefRun> runs) {
    const MeasuredSpeed& wanted = *sku_.spec.measured;
    const std::string name = fmt::format("{}/{}/{}", wanted.bundle, wanted.backend, wanted.variant);
    std::string has_it;
    for (const BriefRun& run : runs) {
      if (!run.stored.record.run_id.starts_with(wanted.run)) continue;
      std::vector<const CellSummary*> cells;
      for (const CellSummary& cell : run.summary.cells) {
        const CellKey& key = cell.key;
        if (key.bundle == wanted.bundle && key.backend == wanted.backend && key.variant == wanted.variant) {
          cells.push_back(&cell);
        }
      }
      if (cells.empty()) continue;
      has_it += (has_it.empty() ? "" : ", ") + run.stored.record.run_id;
      sku_.run = &run;
      sku_.cells = std::move(cells);
    }
    if (sku_.run == nullptr)
      return fault(
          fmt::format("measured: expected a run with the cells of {}, found none among those that were given", name));
    if (has_it.find(',') != std::string::npos) {
      return fault(fmt::format("measured: {} is in several runs ({}): expected `run`, the id of one", name, has_it));
    }
    return {};
  }

  Result<void> fit_to_price() {
    const BackendRecord* backend = sku_.run->backend(sku_.spec.measured->backend);
    if (backend == nullptr) return fault("measured: the run has no record of that backend");
    sku_.rated_units = backend->n_units_used;
    sku_.are_units_unknown = backend->are_units_unknown;
    return {};
  }

  void find_full_load() {
    const auto is_capacity = [](const CellSummary& cell) {
      return basis_of(cell.scenario) != ThroughputBasis::kOfferedLoad;
    };
    const auto is_offline = [&](const CellSummary& cell) {
      return cell.scenario.kind == ScenarioKind::kOffline && is_capacity(cell);
    };
    const CellSummary* cell = fastest(sku_.cells, is_offline);
    if (cell == nullptr) cell = fastest(sku_.cells, is_capacity);
    if (cell != nullptr) {
      sku_.full_load = speed_of(*sku_.run, *cell);
    } else {
      sku_.full_load.why_not = "no cell that measures a capacity (offline:BATCH) with valid figures";
    }
    full_load_cell_ = cell;
  }

  [[nodiscard]] bool run_keeps_samples() const { return sku_.run->has_samples; }
  /// The run's SLO; for a run without one, an SLO that no request has to keep.
  [[nodiscard]] Slo run_slo() const {
    constexpr double kNever = 1e300;
    return sku_.run->stored.record.slo.value_or(
        Slo{.name = "none", .ttft_ms = kNever, .tpot_ms = kNever, .percent = 0});
  }

  /// Computed from the samples; when only the summary is stored, its value for the run's own SLO.
  [[nodiscard]] SloAttainment attained_in(const CellSummary& cell) const {
    if (run_keeps_samples()) return attainment(sku_.run->samples_of(cell.key.id()), demand_.slo);
    const Estimate& share = cell.slo_attainment;
    SloAttainment attained{.n_requests = share.n,
                           .n_kept = std::llround(share.value.value_or(0) * static_cast<double>(share.n))};
    const double promised = run_slo().percent / 100;
    if (share.low.value_or(0) >= promised) attained.verdict = SloVerdict::kKept;
    if (share.high.value_or(1) < promised) attained.verdict = SloVerdict::kNotKept;
    return attained;
  }

  /// True if an option has the SKU for requests that do not wait.
  [[nodiscard]] bool serves_interactive() const {
    if (demand_.batch_percent == 100) return false;
    return std::any_of(demand_.options.begin(), demand_.options.end(), [&](const OptionSpec& option) {
      if (option.fallback && option.fallback->sku == sku_.spec.id) return true;
      return std::any_of(option.interactive.begin(), option.interactive.end(),
                         [&](const Share& share) { return share.sku == sku_.spec.id; });
    });
  }

  /// Only the rate that server:slo-max found and held counts. In a closed loop a slow system reduces its own load, and
  /// what server:RATE serves is the load that was sent. Errors: kInvalidInput where there is nothing else and the SKU
  /// needs a speed at the SLO, or has no speed at all.
  Result<void> find_at_slo() {
    std::string why_not;
    const auto is_kept = [&](const CellSummary& cell) {
      if (!run_keeps_samples() && !demand_.slo.is_kept_by(run_slo())) {
        why_not = "the run's samples are not stored, and its own SLO does not cover yours";
        return false;
      }
      const SloAttainment attained = attained_in(cell);
      if (attained.verdict == SloVerdict::kKept) return true;
      why_not += fmt::format("{}{}: {} of {} requests kept it{}", why_not.empty() ? "" : "; ", cell.key.scenario,
                             attained.n_kept, attained.n_requests,
                             attained.verdict == SloVerdict::kTooFewRequests ? ", too few to tell" : "");
      return false;
    };
    const auto is_of = [](const CellSummary& cell, ThroughputBasis basis) { return basis_of(cell.scenario) == basis; };
    slo_cell_ = fastest(
        sku_.cells, [&](const CellSummary& cell) { return is_of(cell, ThroughputBasis::kSloMax) && is_kept(cell); });
    if (slo_cell_ != nullptr) {
      sku_.at_slo = speed_of(*sku_.run, *slo_cell_);
      return {};
    }
    sku_.at_slo.why_not = why_not.empty() ? "no cell of server:slo-max with valid figures" : why_not;
    const CellSummary* const offered =
        fastest(sku_.cells, [&](const CellSummary& cell) { return is_of(cell, ThroughputBasis::kOfferedLoad); });
    const bool is_needed = serves_interactive() || full_load_cell_ == nullptr;
    if (why_not.empty() && offered != nullptr && is_needed) return offered_load_error(*offered);
    return {};
  }

  /// The command that began the run; of one that something else wrote (`merge`, `ab`) a `run` of the same bundle.
  [[nodiscard]] std::vector<std::string> command_of_run() const {
    const RunRecord& record = sku_.run->stored.record;
    if (record.command.size() > 1 && record.command[1] == "run") return record.command;
    std::vector<std::string> words = {"secondsource", "run"};
    for (const BundleRecord& bundle : record.bundles) {
      if (bundle.name == sku_.spec.measured->bundle) words.push_back(bundle.path);
    }
    const BackendRecord& backend = *sku_.run->backend(sku_.spec.measured->backend);
    if (backend.served) words.insert(words.end(), {"--system", backend.name + "=" + backend.served->url});
    return words;
  }

  /// The command of the run, with the scenarios that give the speeds of a brief and the buyer's SLO, and without what
  /// makes a run shorter. Of a run of this project's backends only the SKU's own is kept.
  [[nodiscard]] std::string command_to_measure() const {
    std::vector<std::string_view> dropped = {"--scenario", "--slo",         "--out",      "--resume",     "--trace",
                                             "--client",   "--repetitions", "--max-time", "--cell-budget"};
    const MeasuredSpeed& measured = *sku_.spec.measured;
    const bool is_own = !sku_.run->backend(measured.backend)->is_foreign();
    if (is_own) dropped.insert(dropped.end(), {"--backend", "--variant"});
    const std::vector<std::string> begun_by = command_of_run();
    std::vector<std::string> words;
    for (std::size_t i = 0; i < begun_by.size(); ++i) {
      const std::size_t equals = begun_by[i].find('=');
      const std::string_view flag = std::string_view(begun_by[i]).substr(0, equals);
      if (flag == "--no-golden") continue;
      if (std::find(dropped.begin(), dropped.end(), flag) == dropped.end()) {
        words.push_back(begun_by[i]);
      } else if (equals == std::string::npos) {
        ++i;  // its value
      }
    }
    if (is_own) words.insert(words.end(), {"--backend", measured.backend, "--variant", measured.variant});
    words.insert(words.end(), {"--scenario", "offline:16,server:slo-max", "--slo",
                               fmt::format("ttft_ms={:g},tpot_ms={:g},percent={:g}", demand_.slo.ttft_ms,
                                           demand_.slo.tpot_ms, demand_.slo.percent)});
    return shell_command(words);
  }

  [[nodiscard]] Error offered_load_error(const CellSummary& cell) const {
    const std::string busy = cell.device_utilisation ? fmt::format(", with which it was busy for {:.0f} % of the time",
                                                                   100 * *cell.device_utilisation)
                                                     : "";
    return fault(fmt::format(
        "measured: expected a capacity at the SLO, found an offered load: the {:.0f} output tok/s of {} are the load that "
        "was sent{}; run `{}`, and give that run",
        *cell.output_tok_per_s.value, cell.key.id(), busy, sku_.command));
  }

  void find_latency() {
    const CellSummary* cell = slo_cell_ != nullptr ? slo_cell_ : full_load_cell_;
    if (cell == nullptr) {
      sku_.ttft_p50.why_not = sku_.ttft_p95.why_not = "no cell with valid figures";
      return;
    }
    sku_.ttft_p50 = latency_of(cell->ttft_e2e_p50_ns);
    sku_.ttft_p95 = latency_of(cell->ttft_e2e_p95_ns);
  }

  void find_power_and_memory() {
    if (full_load_cell_ == nullptr) {
      sku_.why_no_power = sku_.why_no_memory = "no cell with valid figures";
      return;
    }
    const BackendRecord& backend = *sku_.run->backend(sku_.spec.measured->backend);
    double sum = 0;
    int n_read = 0;
    sku_.why_no_power = run_keeps_samples() ? "the run has no power reading" : "only the run's summary is stored";
    for (const Repetition* repetition : sku_.run->repetitions_of(full_load_cell_->key.id())) {
      for (const TelemetryReading& reading : repetition->telemetry) {
        // Prefers the device's own power meter to the host's; a backend on the host has only the latter.
        if (reading.name != "device_power_w" && reading.name != "host_power_w") continue;
        if (reading.name == "host_power_w" && has_device_power(*repetition)) continue;
        // A client's own sensors say nothing about the server. Only device power counts, and only if an exporter on the
        // server reported it.
        if (backend.served && (backend.served->telemetry.empty() || reading.name != "device_power_w")) continue;
        if (reading.value) {
          sum += *reading.value;
          ++n_read;
        } else {
          sku_.why_no_power = reading.why_not;
        }
      }
    }
    if (n_read > 0) sku_.power_w = sum / n_read;

    const double device_bytes = static_cast<double>(backend.device.memory_bytes);
    if (!(device_bytes > 0)) {
      sku_.why_no_memory = "the device's memory is not in the run";
    } else if (!full_load_cell_->memory) {
      sku_.why_no_memory = "the cell has no memory figures";
    } else {
      double peak = 0;
      for (const CellSummary* cell : sku_.cells) {
        if (cell->memory) peak = std::max(peak, static_cast<double>(cell->memory->peak_bytes));
      }
      sku_.memory_headroom_percent = 100 * (1 - peak / device_bytes);
    }
  }

  void find_faults() {
    sku_.outside_limits = sku_.cells.front()->outside_limits;
    if (!sku_.outside_limits.empty()) {
      sku_.faults.push_back(
          fmt::format("{} is outside the limits of its quality: {}", sku_.precision, sku_.outside_limits));
    }
    if (full_load_cell_ == nullptr && slo_cell_ == nullptr) sku_.faults.push_back("no cell with valid figures");
    const bool is_wrong = std::any_of(sku_.cells.begin(), sku_.cells.end(),
                                      [](const CellSummary* cell) { return cell->golden == GoldenVerdict::kFailed; });
    if (is_wrong) sku_.faults.push_back("its tokens are wrong (golden check failed)");
    const bool all_passed = std::all_of(sku_.cells.begin(), sku_.cells.end(),
                                        [](const CellSummary* cell) { return cell->golden == GoldenVerdict::kPassed; });
    if (demand_.limits.require_passed_golden && !is_wrong && !all_passed) {
      sku_.faults.push_back(fmt::format("its tokens are {}: nothing proves them right", sku_.cells.front()->golden));
    }
  }

  void find_assumptions() {
    const BackendRecord& backend = *sku_.run->backend(sku_.spec.measured->backend);
    if (!sku_.spec.measured->same_hardware) {
      sku_.price_assumptions.push_back(
          fmt::format("{} is as fast as what was measured ({})", sku_.price.key(), backend.device.name));
    }
    if (backend.served && backend.served->features) {
      sku_.load_assumptions.push_back(fmt::format("{} serves with what it was measured with: {}", backend.name,
                                                  features_text(*backend.served->features)));
    }
    if (const CellSummary* cell = slo_cell_ != nullptr ? slo_cell_ : full_load_cell_) add_length_assumption(*cell);
  }

  void add_length_assumption(const CellSummary& cell) {
    const auto samples = sku_.run->samples_of(cell.key.id());
    double input = cell.scenario.n_prompt_tokens;
    double output = cell.scenario.n_output_tokens;
    if (!samples.empty()) {
      input = output = 0;
      for (const RequestSample* sample : samples) {
        input += sample->n_prompt_tokens;
        output += sample->n_output_tokens;
      }
      input /= static_cast<double>(samples.size());
      output /= static_cast<double>(samples.size());
    }
    if (input <= 0) {
      sku_.load_assumptions.push_back("the speed measured with the suite's prompts holds for the lengths of yours");
      return;
    }
    constexpr double kNear = 0.2;
    const auto is_near = [](double measured, double wanted) { return std::abs(measured - wanted) <= kNear * wanted; };
    if (is_near(input, demand_.mean_input_tokens()) && is_near(output, demand_.mean_output_tokens())) return;
    sku_.load_assumptions.push_back(fmt::format(
        "the speed measured with {:.0f} input and {:.0f} output tokens a request holds for your {:.0f} and {:.0f}",
        input, output, demand_.mean_input_tokens(), demand_.mean_output_tokens()));
  }

  Sku& sku_;
  const Demand& demand_;
  const CellSummary* full_load_cell_ = nullptr;
  const CellSummary* slo_cell_ = nullptr;
};

class QuotedSku {
 public:
  QuotedSku(Sku& sku, const Demand& demand) : sku_(sku), demand_(demand) {}

  Result<void> resolve(const std::vector<QuotedRow>& quoted) {
    SS_TRY(const QuotedRow* const full_load, find_row(quoted, sku_.spec.quoted->full_load));
    SS_TRY(const QuotedRow* const slo, find_row(quoted, sku_.spec.quoted->slo));
    if (full_load != nullptr && full_load->slo)
      return fault(fmt::format("quoted: full_load: {} is no offline figure", full_load->id));
    if (slo != nullptr && !slo->slo) return fault(fmt::format("quoted: slo: {} is a figure without limits", slo->id));
    const QuotedRow& row = slo != nullptr ? *slo : *full_load;
    if (full_load != nullptr &&
        (full_load->model != row.model || full_load->accelerator != row.accelerator ||
         full_load->accelerators != row.accelerators || full_load->precision != row.precision)) {
      return fault(fmt::format("quoted: {} and {} are not of one model, precision and system", full_load->id, row.id));
    }
    if (row.accelerator != sku_.price.accelerator) {
      return fault(fmt::format("quoted for {}, but {} is a price of {}", row.accelerator, sku_.price.key(),
                               sku_.price.accelerator));
    }
    sku_.model = row.model;
    sku_.precision = row.precision;
    sku_.rated_units = static_cast<double>(row.accelerators);
    set_speeds(full_load, slo);
    const std::string no_latency = "quoted figures come without it";
    sku_.ttft_p50.why_not = sku_.ttft_p95.why_not = sku_.why_no_power = sku_.why_no_memory = no_latency;
    sku_.load_assumptions.push_back("a speed quoted for other requests holds for yours");
    return {};
  }

 private:
  [[nodiscard]] Error fault(const std::string& message) const {
    return Error{ErrorCode::kInvalidInput, fmt::format("sku {}: {}", sku_.spec.id, message)};
  }

  /// Returns nullptr for an empty id.
  Result<const QuotedRow*> find_row(const std::vector<QuotedRow>& quoted, const std::string& id) const {
    if (id.empty()) return static_cast<const QuotedRow*>(nullptr);
    for (const QuotedRow& row : quoted) {
      if (row.id == id) return &row;
    }
    return fault(fmt::format("quoted: no row {} among the {} that --quoted gave", in_quotes(id), quoted.size()));
  }

  static Speed speed_of(const QuotedRow& row) {
    return {.tok_per_s = Interval{.value = row.output_tok_per_s},
            .why_not = {},
            .from = row.id,
            .evidence = {.quoted = true, .basis = {"quoted " + row.id}}};
  }

  void set_speeds(const QuotedRow* full_load, const QuotedRow* slo) {
    if (full_load != nullptr) {
      sku_.full_load = speed_of(*full_load);
    } else {
      sku_.full_load.why_not = "no offline figure was quoted";
    }
    if (slo == nullptr) {
      sku_.at_slo.why_not = "no figure under latency limits was quoted";
    } else if (!demand_.slo.is_kept_by(*slo->slo)) {
      sku_.at_slo.why_not =
          fmt::format("the quoted limits ({:g} ms, {:g} ms, {:g} %) do not cover yours ({:g} ms, {:g} ms, {:g} %)",
                      slo->slo->ttft_ms, slo->slo->tpot_ms, slo->slo->percent, demand_.slo.ttft_ms, demand_.slo.tpot_ms,
                      demand_.slo.percent);
    } else {
      sku_.at_slo = speed_of(*slo);
    }
  }

  Sku& sku_;
  const Demand& demand_;
};

std::string units_text(const Sku& sku, double n) {
  return counted(n, sku.price.accelerators > 0 ? "accelerator" : "vCPU");
}

std::string machines_text(const Sku& sku) {
  return sku.spec.machines_per_replica == 1 ? "one " + sku.price.instance
                                            : fmt::format("{} {}", sku.spec.machines_per_replica, sku.price.instance);
}

std::string scaling_sentence(const Sku& sku, double copies) {
  const std::string machines = machines_text(sku);
  const char* rated = sku.is_measured() ? "measured" : "quoted";
  if (copies > 1) {
    return fmt::format("{:g} systems of {} side by side on {} are each as fast as the one that was {}", copies,
                       units_text(sku, sku.rated_units), machines, rated);
  }
  return fmt::format("the {} of {} {} {:.3g} times as fast as the {:g} that {} {}", units_text(sku, sku.n_units),
                     machines, sku.n_units == 1 ? "is" : "are", copies, sku.rated_units,
                     sku.rated_units == 1 ? "was" : "were", rated);
}

/// Scales speeds and power from the measured or quoted system to one replica, so that SKUs are compared machine by
/// machine. If the system is smaller than a replica, a replica holds as many copies of it as fit. A system whose devices
/// were not stated counts as one replica.
void scale_to_replica(Sku& sku) {
  constexpr double kRounding = 1e-9;
  sku.instances_per_replica = static_cast<double>(sku.spec.machines_per_replica);
  sku.n_units = sku.instances_per_replica * sku.price.n_units();
  if (sku.are_units_unknown) sku.rated_units = sku.n_units;
  const double ratio = sku.n_units / sku.rated_units;
  const double copies = ratio > 1 ? std::floor(ratio + kRounding) : ratio;
  const bool is_assumed = sku.are_units_unknown && sku.n_units > 1;
  if (std::abs(ratio - 1) <= kRounding && !is_assumed) return;
  sku.scaling = is_assumed ? fmt::format("{}, whose devices were not stated, used the {} of {}",
                                         sku.spec.measured->backend, units_text(sku, sku.n_units), machines_text(sku))
                           : scaling_sentence(sku, copies);
  for (Speed* speed : {&sku.full_load, &sku.at_slo}) {
    if (!speed->tok_per_s) continue;
    speed->tok_per_s = map_rising(*speed->tok_per_s, [&](double rate) { return copies * rate; });
    speed->evidence = speed->evidence.as_projected();
  }
  if (sku.power_w) *sku.power_w *= copies;
}

}  // namespace

Result<std::vector<Sku>> resolve_skus(const Demand& demand, std::span<const BriefRun> runs,
                                      const std::vector<QuotedRow>& quoted, const std::vector<PriceRow>& prices) {
  std::vector<Sku> skus;
  for (const SkuSpec& spec : demand.skus) {
    Sku sku{.spec = spec};
    Result<PriceRow> price = find_price(spec.price, prices);
    if (!price) return price.error().with_context(fmt::format("sku {}: price", spec.id));
    sku.price = std::move(price).value();
    if (spec.committed && !sku.pays_for_peak()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("sku {}: committed: expected a price of committed or owned machines, found {}, which is "
                               "paid by the hour",
                               spec.id, in_quotes(sku.price.key()))};
    }
    if (spec.measured) {
      SS_TRY_VOID(MeasuredSku(sku, demand).resolve(runs));
    } else {
      SS_TRY_VOID(QuotedSku(sku, demand).resolve(quoted));
    }
    scale_to_replica(sku);
    skus.push_back(std::move(sku));
  }
  return skus;
}

const Sku& find_sku(std::span<const Sku> skus, std::string_view id) {
  const auto found = std::find_if(skus.begin(), skus.end(), [&](const Sku& sku) { return sku.spec.id == id; });
  SS_CHECK(found != skus.end(), "a sku that the demand's reader let through");
  return *found;
}

}  // namespace secondsource
