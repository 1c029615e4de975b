#pragma once
// Whether a run, finished or interrupted, can be believed: what failed, was refused or had wrong tokens.

#include <string>
#include <vector>

#include "record/journal.h"
#include "record/records.h"

namespace secondsource {

struct RunHealth {
  bool wrong_tokens = false;             ///< a golden pass failed, or a timed request diverged from the reference
  std::vector<std::string> failures;     ///< one line per backend that failed, or was named and is not available
  std::vector<std::string> refused;      ///< what was asked for and cannot be measured, as a budget that holds no model
  std::vector<std::string> invalid;      ///< measurements whose own checks failed
  std::vector<std::string> unavailable;  ///< failed modules that were not named: listed, not counted as failures
  std::vector<std::string> unverified;   ///< bundles and variants without expected outputs
  /// Failures, wrong tokens and INVALID repetitions of opportunistic variants that do not count.
  std::vector<std::string> without_effect;
};

/// Judges a run by its record, its journal and its summary. Opportunistic variants count only if
/// `opportunistic_counts`.
[[nodiscard]] RunHealth judge_run(const RunRecord& record, const std::vector<JournalLine>& lines,
                                  const RunSummary& summary, bool opportunistic_counts);

}  // namespace secondsource
