#include "gate_status.h"

namespace secondsource {

std::vector<ExitStatus> statuses_of(const GateReport& gate, bool allow_inconclusive) {
  std::vector<ExitStatus> statuses;
  if (!gate.wrong_tokens.empty()) statuses.push_back(ExitStatus::kWrongTokens);
  if (!gate.failed.empty()) statuses.push_back(ExitStatus::kBackendFailed);
  if (!gate.not_comparable.empty()) statuses.push_back(ExitStatus::kNotComparable);
  if (gate.count(Decision::kRegressed) > 0) statuses.push_back(ExitStatus::kRegressed);
  if (gate.count(Decision::kInconclusive) > 0 && !allow_inconclusive) statuses.push_back(ExitStatus::kInconclusive);
  // A waiver that is out of date is a fault of the repository. While it leaves a regression uncovered, that regression
  // is the news; alone it is bad input.
  if (!gate.waiver_errors.empty() && gate.count(Decision::kRegressed) == 0) statuses.push_back(ExitStatus::kBadInput);
  return statuses;
}

}  // namespace secondsource
