#include "runner/run_checks.h"

#include <charconv>
#include <string_view>

#include "measure/fingerprint.h"
#include "measure/limit_checks.h"
#include "measure/machine_limits.h"

namespace secondsource {
namespace {

/// A number of the host's facts; 0 when it is not there.
double number_of(const RunRecord& record, std::string_view name) {
  const auto text = fact(record.host, name);
  double value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

}  // namespace

RunChecks::RunChecks(RunDirectory& run, RunSettings settings, std::vector<std::filesystem::path> inputs)
    : run_(run), settings_(std::move(settings)), watch_(std::move(inputs)) {}

Result<void> RunChecks::add_to(Repetition& repetition, std::int64_t n_requests) {
  SS_TRY(CheckRecord roofline, roofline_of(repetition));
  repetition.checks.push_back(std::move(roofline));
  const HarnessCost cost{.ns_per_request = number_of(run_.record(), "harness_ns_per_request"),
                         .ns_per_poll = number_of(run_.record(), "harness_ns_per_poll"),
                         .ns_per_token = number_of(run_.record(), "harness_ns_per_token")};
  repetition.checks.push_back(check_harness(repetition, n_requests, cost));
  repetition.checks.push_back(watch_.check());
  return {};
}

Result<CheckRecord> RunChecks::roofline_of(const Repetition& repetition) {
  const RunRecord& record = run_.record();
  std::string_view variant;
  bool is_host = false;
  for (const PlannedCell& cell : record.cells) {
    if (cell.key.id() != repetition.cell) continue;
    variant = cell.key.variant;
    for (const BackendRecord& backend : record.backends) {
      if (backend.name == cell.key.backend) is_host = backend.device.is_host;
    }
  }
  if (!is_host || !record.limits) return check_roofline(repetition, nullptr, variant);
  CheckRecord check = check_roofline(repetition, &*record.limits, variant);
  if (check.outcome == CheckOutcome::kPassed || check.outcome == CheckOutcome::kNotAvailable) return check;
  SS_TRY(const RunLimits again, measure_run_limits(settings_.threads, settings_.cpus, HostFiles()));
  SS_TRY_VOID(run_.raise_limits(highest_of(*record.limits, again)));
  return check_roofline(repetition, &*run_.record().limits, variant);
}

}  // namespace secondsource
