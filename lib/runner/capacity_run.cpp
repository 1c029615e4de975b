#include "runner/capacity_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/counted.h"
#include "core/enum_format.h"
#include "measure/rate_verdict.h"
#include "record/ranges.h"

namespace secondsource {
namespace {

// The arrivals of an attempt depend on its index and differ from those of every repetition.
constexpr std::int32_t kFirstAttemptSeed = kRepetitionsRange.max;

std::vector<const RequestSample*> samples_in(std::span<const JournalLine> lines) {
  std::vector<const RequestSample*> samples;
  for (const JournalLine& line : lines) {
    if (const auto* sample = std::get_if<RequestSample>(&line)) samples.push_back(sample);
  }
  return samples;
}

/// The failed check that shows that the system did not keep up with a repetition's load; nullptr if there is none.
const CheckRecord* failed_load_check(const Repetition& repetition) {
  const auto found = std::ranges::find_if(repetition.checks, [](const CheckRecord& check) {
    return check.outcome == CheckOutcome::kInvalid && (check.name == "queue" || check.name == "rate");
  });
  return found == repetition.checks.end() ? nullptr : &*found;
}

std::string described(const CapacitySearch::Attempt& attempt, std::int32_t batch) {
  if (attempt.phase == ProbePhase::kSaturation)
    return fmt::format("filling the system with {}", counted(batch, "request"));
  return fmt::format("{} {:.3g} requests/s for {:.0f} s", attempt.phase == ProbePhase::kHold ? "holding" : "trying",
                     attempt.rate_per_s, attempt.n_requests / attempt.rate_per_s);
}

}  // namespace

CapacityRun::CapacityRun(const PlannedCell& cell, const Slo& slo, RepetitionPlan plan, Hooks hooks)
    : cell_(cell),
      slo_(slo),
      plan_(std::move(plan)),
      hooks_(std::move(hooks)),
      search_({.in_flight = cell.scenario.batch, .n_requests = cell.scenario.n_requests}) {}

Scenario CapacityRun::held_scenario() const {
  Scenario scenario = cell_.scenario;
  scenario.rate_per_s = search_.held().value_or(0);
  scenario.n_requests = search_.n_requests();
  return scenario;
}

Result<WorkerOutcome> CapacityRun::run(const FinishedWork& finished) {
  for (const RateProbe& probe : finished.probes(plan_.cell)) {
    search_.tell(probe);
    ++n_attempts_;
  }
  while (true) {
    SS_TRY(WorkerOutcome outcome, find_rate());
    if (outcome) return outcome;
    if (!search_.held()) return WorkerOutcome(WorkerFailure{FailureKind::kNoRate, search_.state()});
    SS_TRY(outcome, measure_repetitions(finished));
    if (outcome || search_.held()) return outcome;
  }
}

Result<WorkerOutcome> CapacityRun::find_rate() {
  while (const auto attempt = search_.next()) {
    if (attempt->phase != ProbePhase::kSaturation && hooks_.is_out_of_time()) search_.end_search();
    const auto now = search_.next();
    if (!now) break;
    hooks_.say(fmt::format("{} {} ({})", plan_.cell, described(*now, cell_.scenario.batch), search_.state()));
    MeasureCommand command{plan_, ProbePlan{.slo = slo_, .index = n_attempts_, .phase = now->phase}};
    command.plan.scenario = cell_.scenario;
    command.plan.scenario.rate_per_s = now->rate_per_s;
    command.plan.scenario.n_requests = now->n_requests;
    command.plan.repetition = kFirstAttemptSeed + n_attempts_;
    std::vector<JournalLine> lines;
    SS_TRY(WorkerOutcome outcome, measure(std::move(command), lines));
    if (outcome) return outcome;
    const auto* probe = lines.size() == 1 ? std::get_if<RateProbe>(&lines.front()) : nullptr;
    if (probe == nullptr) return Error{ErrorCode::kInternal, plan_.cell + ": an attempt without its line"};
    SS_TRY_VOID(keep(*probe));
  }
  return WorkerOutcome();
}

Result<WorkerOutcome> CapacityRun::measure_repetitions(const FinishedWork& finished) {
  // Repetitions that are already stored are kept, and so is their rate: the time ran out between two of them.
  bool backs_off = true;
  std::vector<JournalLine> lines;
  for (std::int32_t repetition = 0; repetition < cell_.repetitions; ++repetition) {
    if (finished.has_repetition(plan_.cell, repetition)) {
      backs_off = false;
      continue;
    }
    if (repetition > 0 && hooks_.is_out_of_time()) break;
    hooks_.say(fmt::format("{} {}/{}", plan_.cell, repetition + 1, cell_.repetitions));
    MeasureCommand command{plan_};
    command.plan.scenario = held_scenario();
    command.plan.repetition = repetition;
    SS_TRY(WorkerOutcome outcome, measure(std::move(command), lines));
    if (outcome) return outcome;
    if (!backs_off) continue;
    if (auto broken = broken_hold(lines, false)) return give_up(*std::move(broken));
  }
  if (auto broken = backs_off ? broken_hold(lines, true) : std::nullopt) return give_up(*std::move(broken));
  SS_TRY_VOID(hooks_.store(lines));
  return WorkerOutcome();
}

Result<WorkerOutcome> CapacityRun::give_up(RateProbe broken) {
  SS_TRY_VOID(keep(std::move(broken)));
  return WorkerOutcome();
}

std::optional<RateProbe> CapacityRun::broken_hold(std::span<const JournalLine> lines, bool is_last) const {
  const std::vector<const RequestSample*> samples = samples_in(lines);
  const SloAttainment share = attainment(samples, slo_);
  RateProbe probe{.cell = plan_.cell,
                  .index = n_attempts_,
                  .rate_per_s = *search_.held(),
                  .n_requests = share.n_requests,
                  .n_kept = share.n_kept,
                  .phase = ProbePhase::kHold};
  for (const JournalLine& line : lines) {
    if (const auto* repetition = std::get_if<Repetition>(&line)) probe.wall_s += repetition->wall_s;
  }
  const auto* last = lines.empty() ? nullptr : std::get_if<Repetition>(&lines.back());
  if (last == nullptr) return std::nullopt;
  probe.achieved_rate_per_s = last->achieved_rate_per_s;
  if (const CheckRecord* check = failed_load_check(*last)) {
    probe.verdict = ProbeVerdict::kSaturated;
    probe.why = fmt::format("repetition {}: {}", last->repetition + 1, check->detail);
    return probe;
  }
  if (!is_last && share.verdict != SloVerdict::kNotKept) return std::nullopt;
  RateVerdict attained = judge_attainment(ProbePhase::kHold, slo_, samples);
  if (attained.verdict == ProbeVerdict::kKept) return std::nullopt;
  probe.verdict = attained.verdict;
  probe.why = fmt::format("over {}, {}", counted(last->repetition + 1, "repetition"), attained.why);
  return probe;
}

Result<WorkerOutcome> CapacityRun::measure(MeasureCommand command, std::vector<JournalLine>& lines) {
  SS_TRY(WorkerOutcome outcome, hooks_.measure(command, lines));
  if (!outcome) plan_.warm_up.reset();
  return outcome;
}

Result<void> CapacityRun::keep(RateProbe probe) {
  ++n_attempts_;
  search_.tell(probe);
  hooks_.note(fmt::format("{}: {}: {:.3g} requests/s: {}: {}", plan_.cell, probe.phase, probe.rate_per_s, probe.verdict,
                          probe.why));
  const JournalLine line = std::move(probe);
  return hooks_.store(std::span(&line, 1));
}

}  // namespace secondsource
