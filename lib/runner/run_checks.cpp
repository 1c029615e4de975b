#include "runner/run_checks.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "core/clock.h"
#include "core/file.h"
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

/// How often a limit is measured again that a repetition seems to exceed. Two looks must agree on it.
constexpr int kMoreLooks = 2;

/// Repetitions that end within this time share one look at the machine, which takes 0.2 s and would otherwise take longer
/// than a short repetition.
constexpr std::int64_t kLookPeriodNs = 3'000'000'000;

bool seems_too_fast(const CheckRecord& roofline) {
  return roofline.outcome == CheckOutcome::kSuspect || roofline.outcome == CheckOutcome::kInvalid;
}

/// The limits of this host with the settings' threads and CPUs; the run's own looks are among them.
LimitStore limits_of(const RunRecord& record, const RunSettings& settings) {
  return LimitStore::for_host(cache_folder(), record.host, settings.threads, settings.cpus,
                              LimitLooks{.best = record.limits.value_or(MachineLimits()),
                                         .second = record.second_limits.value_or(MachineLimits())});
}

}  // namespace

RunChecks::RunChecks(RunDirectory& run, RunSettings settings, std::vector<std::filesystem::path> inputs)
    : run_(run),
      settings_(std::move(settings)),
      limits_(limits_of(run.record(), settings_)),
      watch_(std::move(inputs)) {}

Result<void> RunChecks::add_to(Repetition& repetition, std::int64_t n_requests) {
  if (is_on_host(repetition)) SS_TRY_VOID(look_at_machine(repetition));
  excuse_by_neighbours(repetition.checks);
  SS_TRY(CheckRecord roofline, roofline_of(repetition));
  repetition.checks.push_back(std::move(roofline));
  const HarnessCost cost{.ns_per_request = number_of(run_.record(), "harness_ns_per_request"),
                         .ns_per_poll = number_of(run_.record(), "harness_ns_per_poll"),
                         .ns_per_token = number_of(run_.record(), "harness_ns_per_token")};
  repetition.checks.push_back(check_harness(repetition, n_requests, cost));
  repetition.checks.push_back(watch_.check());
  return {};
}

bool RunChecks::is_on_host(const Repetition& repetition) const {
  const PlannedCell* const cell = cell_of(run_.record(), repetition);
  return cell != nullptr && std::ranges::any_of(run_.record().backends, [cell](const BackendRecord& backend) {
           return backend.name == cell->key.backend && backend.device.is_host;
         });
}

Result<void> RunChecks::look_at_machine(Repetition& repetition) {
  if (!run_.record().limits) return {};
  if (!moment_ || now_ns() - looked_ns_ >= kLookPeriodNs) {
    SS_TRY(const MachineProbe probe, MachineProbe::create(settings_.threads, settings_.cpus, HostFiles()));
    moment_ = probe.look();
    looked_ns_ = now_ns();
    SS_TRY_VOID(add_look(look_of(*moment_, limits_.looks().best)));
  }
  repetition.telemetry.push_back({std::string(kMachineReadReading), moment_->read_bytes_per_s, ""});
  repetition.telemetry.push_back({std::string(kMachineF32Reading), moment_->f32_flops, ""});
  repetition.checks.push_back(check_machine(*moment_, limits_.looks().best, all_steps(repetition)));
  return {};
}

Result<void> RunChecks::add_look(const MachineLimits& look) {
  if (!adds_to(limits_.looks(), look)) return {};
  // The run's own record has the look. That the cache cannot be written was noted when the run began.
  (void)limits_.add(look);
  return run_.set_limits(limits_.looks());
}

Result<CheckRecord> RunChecks::roofline_of(const Repetition& repetition) {
  const PlannedCell* const cell = cell_of(run_.record(), repetition);
  const std::string_view variant = cell == nullptr ? "" : std::string_view(cell->key.variant);
  if (!run_.record().limits || !is_on_host(repetition)) return check_roofline(repetition, nullptr, variant);
  CheckRecord check = check_roofline(repetition, &limits_.looks(), variant);
  const int n_more_looks = settings_.takes_any_noise() ? 0 : kMoreLooks;
  for (int n_looks = 0; n_looks < n_more_looks && seems_too_fast(check); ++n_looks) {
    SS_TRY(const MachineLimits look, measure_machine_limits(settings_.threads, settings_.cpus, HostFiles()));
    SS_TRY_VOID(add_look(look));
    check = check_roofline(repetition, &limits_.looks(), variant);
  }
  return check;
}

}  // namespace secondsource
