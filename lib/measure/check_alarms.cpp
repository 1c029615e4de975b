#include "measure/check_alarms.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "measure/planted_faults.h"

namespace secondsource {
namespace {

bool is_alarm(const CheckRecord& check) {
  return check.outcome == CheckOutcome::kSuspect || check.outcome == CheckOutcome::kInvalid;
}

bool is_right(const RequestSample& sample) {
  return sample.error.empty() && !sample.wrong_at;
}

void count(const StoredRepetition& stored, CheckAlarms& alarms) {
  ++alarms.n_repetitions;
  const std::vector<CheckRecord>& checks = stored.repetition->checks;
  if (std::ranges::count(checks, CheckOutcome::kInvalid, &CheckRecord::outcome) > 0) ++alarms.n_invalid;
  for (const CheckRecord& check : checks) {
    AlarmCount& counted = alarms.checks[check.name];
    if (check.outcome != CheckOutcome::kNotAvailable) ++counted.n_judged;
    if (check.outcome == CheckOutcome::kSuspect) ++counted.n_suspect;
    if (check.outcome == CheckOutcome::kInvalid) ++counted.n_invalid;
  }
  for (const CheckRecord& check : judge_planted_faults(stored)) {
    if (check.outcome == CheckOutcome::kNotAvailable) continue;
    AlarmCount& counted = alarms.checks[check.name];
    ++counted.n_planted;
    if (is_alarm(check)) ++counted.n_found;
  }
}

}  // namespace

void count_alarms(const RunRecord& record, std::span<const JournalLine> lines, CheckAlarms& alarms) {
  std::map<std::pair<std::string, std::int32_t>, std::vector<RequestSample>> samples;
  for (const JournalLine& line : lines) {
    if (const auto* sample = std::get_if<RequestSample>(&line)) {
      samples[{sample->cell, sample->repetition}].push_back(*sample);
    }
  }
  for (const JournalLine& line : lines) {
    const auto* repetition = std::get_if<Repetition>(&line);
    if (repetition == nullptr) continue;
    const auto cell =
        std::ranges::find(record.cells, repetition->cell, [](const PlannedCell& planned) { return planned.key.id(); });
    if (cell == record.cells.end()) continue;
    const std::optional<LimitLooks> looks = limits_of(record, cell->key.backend);
    const StoredRepetition stored{.repetition = repetition,
                                  .samples = samples[{repetition->cell, repetition->repetition}],
                                  .scenario = cell->scenario,
                                  .variant = cell->key.variant,
                                  .limits = looks ? &*looks : nullptr};
    if (std::ranges::all_of(stored.samples, is_right)) count(stored, alarms);
  }
}

}  // namespace secondsource
