#pragma once
// Counts how often each check of stored runs gave an alarm although the measurement was right, and how often it finds the
// fault that is planted for it.

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "record/records.h"

namespace secondsource {

/// Counts over repetitions.
struct AlarmCount {
  std::int64_t n_judged = 0;  ///< without those for which the check was not available
  std::int64_t n_suspect = 0;
  std::int64_t n_invalid = 0;
  std::int64_t n_planted = 0;  ///< repetitions that the check can judge with its fault in them
  std::int64_t n_found = 0;    ///< of those, suspect or INVALID
};

struct CheckAlarms {
  std::int64_t n_repetitions = 0;
  std::int64_t n_invalid = 0;  ///< repetitions that at least one check called INVALID
  std::map<std::string, AlarmCount> checks;
};

/// Adds the repetitions of a run whose requests all ended with tokens that are not wrong. Repetitions without their
/// closing line are left out.
void count_alarms(const RunRecord& record, std::span<const JournalLine> lines, CheckAlarms& alarms);

}  // namespace secondsource
