#include "runner/run_checks.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "core/clock.h"
#include "core/file.h"
#include "host/device_limits.h"
#include "host/limit_looks.h"
#include "host/machine_limits.h"
#include "host/machine_probe.h"
#include "measure/host_checks.h"
#include "measure/limit_checks.h"
#include "record/roofline.h"

namespace secondsource {
namespace {

/// Reads a number from the host's facts; 0 when the fact is missing.
double number_of(const RunRecord& record, std::string_view name) {
  const auto text = fact(record.host, name);
  double value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

/// Returns the planned cell of the repetition, or null when the plan has no such cell.
const PlannedCell* cell_of(const RunRecord& record, const Repetition& repetition) {
  const auto found =
      std::ranges::find_if(record.cells, [&](const PlannedCell& cell) { return cell.key.id() == repetition.cell; });
  return found == record.cells.end() ? nullptr : &*found;
}

/// How often a limit that a repetition seems to exceed is measured again. Two looks must agree on it.
constexpr int kMoreLooks = 2;

/// Repetitions that end within this time share one look at the machine, which takes 0.2 s and would otherwise take longer
/// than a short repetition.
constexpr std::int64_t kLookPeriodNs = 3'000'000'000;

bool seems_too_fast(const CheckRecord& roofline) {
  return roofline.outcome == CheckOutcome::kSuspect || roofline.outcome == CheckOutcome::kInvalid;
}

/// The limits of this host for the settings' threads and CPUs, including the run's own looks.
LimitStore host_limits(const RunRecord& record, const RunSettings& settings) {
  return LimitStore::for_host(cache_folder(), record.host, settings.threads, settings.cpus,
                              LimitLooks{.best = record.limits.value_or(MachineLimits()),
                                         .second = record.second_limits.value_or(MachineLimits())});
}

}  // namespace

RunChecks::RunChecks(RunDirectory& run, RunSettings settings, std::vector<std::filesystem::path> inputs,
                     const InterruptFlag& interrupt)
    : run_(run),
      settings_(std::move(settings)),
      limits_(host_limits(run.record(), settings_)),
      watch_(std::move(inputs)),
      interrupt_(interrupt) {}

struct RunChecks::Limited {
  const BackendRecord* backend = nullptr;  ///< null: the repetition is of no backend in the record
  const AskRates& ask;

  [[nodiscard]] bool is_on_host() const { return backend != nullptr && backend->device.is_host; }
  /// True for a device other than the host, whose rates a worker may report.
  [[nodiscard]] bool is_device() const {
    return backend != nullptr && !backend->device.is_host && !backend->is_foreign() && ask;
  }
};

Result<void> RunChecks::look_at_device(const BackendRecord& backend, const AskRates& ask) {
  const Limited limited{&backend, ask};
  if (!limited.is_device()) return {};
  for (int n_looks = 0; n_looks < kMoreLooks; ++n_looks) {
    if (const auto looks = looks_at(limited); looks && is_settled(*looks)) return {};
    SS_TRY(const std::optional<MachineLimits> look, another_look(limited));
    if (!look) return {};
    SS_TRY_VOID(add_look(limited, *look));
  }
  return {};
}

Result<void> RunChecks::add_to(Repetition& repetition, std::int64_t n_requests, const AskRates& ask) {
  const PlannedCell* const cell = cell_of(run_.record(), repetition);
  Limited limited{nullptr, ask};
  if (cell != nullptr) {
    const auto found = std::ranges::find(run_.record().backends, cell->key.backend, &BackendRecord::name);
    if (found != run_.record().backends.end()) limited.backend = &*found;
  }
  SS_TRY_VOID(look_at_machine(limited, repetition));
  excuse_by_neighbours(repetition.checks);
  SS_TRY(CheckRecord roofline,
         roofline_of(limited, repetition, cell == nullptr ? "" : std::string_view(cell->key.variant)));
  repetition.checks.push_back(std::move(roofline));
  const HarnessCost cost{.ns_per_request = number_of(run_.record(), "harness_ns_per_request"),
                         .ns_per_poll = number_of(run_.record(), "harness_ns_per_poll"),
                         .ns_per_token = number_of(run_.record(), "harness_ns_per_token")};
  repetition.checks.push_back(check_harness(repetition, n_requests, cost));
  repetition.checks.push_back(watch_.check());
  return {};
}

Result<void> RunChecks::look_at_machine(const Limited& limited, Repetition& repetition) {
  std::optional<LimitLooks> looks = looks_at(limited);
  if (!looks) return {};
  const std::string key = limited.is_on_host() ? "" : limited.backend->name;
  auto moment = moments_.find(key);
  if (moment == moments_.end() || now_ns() - moment->second.looked_ns >= kLookPeriodNs) {
    SS_TRY(const std::optional<MachineMoment> rates, moment_of(limited));
    if (!rates) return {};
    moment = moments_.insert_or_assign(key, Moment{*rates, now_ns()}).first;
    SS_TRY_VOID(add_look(limited, look_of(*rates, looks->best)));
    looks = looks_at(limited);
  }
  const MachineMoment& rates = moment->second.rates;
  repetition.telemetry.push_back({std::string(kMachineReadReading), rates.read_bytes_per_s, ""});
  repetition.telemetry.push_back({std::string(kMachineF32Reading), rates.f32_flops, ""});
  repetition.checks.push_back(check_machine(rates, looks->best, all_steps(repetition)));
  return {};
}

Result<CheckRecord> RunChecks::roofline_of(const Limited& limited, const Repetition& repetition,
                                           std::string_view variant) {
  const auto check = [&] {
    const std::optional<LimitLooks> looks = looks_at(limited);
    return check_roofline(repetition, looks ? &*looks : nullptr, variant);
  };
  CheckRecord roofline = check();
  // Neighbours that the run tolerates slow down the host but not a device with its own memory.
  const int n_more_looks = limited.is_on_host() && settings_.takes_any_noise() ? 0 : kMoreLooks;
  for (int n_looks = 0; n_looks < n_more_looks && seems_too_fast(roofline); ++n_looks) {
    SS_TRY(const std::optional<MachineLimits> look, another_look(limited));
    if (!look) break;
    SS_TRY_VOID(add_look(limited, *look));
    roofline = check();
  }
  return roofline;
}

std::optional<LimitLooks> RunChecks::looks_at(const Limited& limited) const {
  if (limited.backend == nullptr) return std::nullopt;
  // The store also contains the looks of other processes on this host.
  if (limited.is_on_host() && run_.record().limits) return limits_.looks();
  return limits_of(run_.record(), *limited.backend);
}

Result<void> RunChecks::add_look(const Limited& limited, const MachineLimits& look) {
  if (!limited.is_on_host()) {
    const LimitLooks looks = looks_at(limited).value_or(LimitLooks());
    if (!adds_to(looks, look)) return {};
    return run_.set_device_limits(limited.backend->name, secondsource::add_look(looks, look));
  }
  if (!adds_to(limits_.looks(), look)) return {};
  // An error is ignored: the run's own record contains the look, and a note at the beginning of the run said that the
  // cache cannot be written.
  (void)limits_.add(look);
  return run_.set_limits(limits_.looks());
}

Result<std::optional<MachineMoment>> RunChecks::moment_of(const Limited& limited) const {
  if (limited.is_on_host()) {
    SS_TRY(const MachineProbe probe, MachineProbe::create(settings_.threads, settings_.cpus, HostFiles()));
    return std::optional(probe.look());
  }
  if (!limited.is_device()) return std::optional<MachineMoment>();
  SS_TRY(const std::optional<DeviceRates> rates, limited.ask(RateEffort::kMoment));
  return rates ? std::optional(moment_of_device(*rates)) : std::nullopt;
}

Result<std::optional<MachineLimits>> RunChecks::another_look(const Limited& limited) const {
  if (limited.is_on_host()) {
    SS_TRY(const MachineLimits look, measure_machine_limits(settings_.threads, settings_.cpus, HostFiles(),
                                                            WhenDisturbed::kMeasureAgain, &interrupt_));
    return std::optional(look);
  }
  if (!limited.is_device()) return std::optional<MachineLimits>();
  SS_TRY(const std::optional<DeviceRates> rates, limited.ask(RateEffort::kAll));
  return rates ? std::optional(limits_of_device(*rates)) : std::nullopt;
}

}  // namespace secondsource
