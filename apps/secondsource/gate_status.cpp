#include "gate_status.h"

namespace secondsource {

std::vector<ExitStatus> statuses_of(const GateReport& gate, bool allow_inconclusive) {
  std::vector<ExitStatus> statuses;
  if (!gate.wrong_tokens.empty()) statuses.push_back(ExitStatus::kWrongTokens);
  if (!gate.failed.empty()) statuses.push_back(ExitStatus::kBackendFailed);
  if (!gate.not_comparable.empty()) statuses.push_back(ExitStatus::kNotComparable);
  if (gate.count(Decision::kRegressed) > 0) statuses.push_back(ExitStatus::kRegressed);
  const bool is_inconclusive = gate.count(Decision::kInconclusive) > 0 || !gate.cannot_decide.empty();
  if (is_inconclusive && !allow_inconclusive) statuses.push_back(ExitStatus::kInconclusive);
  // An invalid waiver is an error in the repository. It counts as bad input only if there is no uncovered regression,
  // which is the more important result.
  if (!gate.waiver_errors.empty() && gate.count(Decision::kRegressed) == 0) statuses.push_back(ExitStatus::kBadInput);
  return statuses;
}

}  // namespace secondsource
