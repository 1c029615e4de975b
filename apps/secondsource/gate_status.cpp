#include "gate_status.h"

#include <algorithm>

namespace secondsource {

std::vector<ExitStatus> statuses_of(const GateReport& gate, bool allow_inconclusive, std::vector<ExitStatus> statuses) {
  const auto add = [&](ExitStatus status) {
    if (std::ranges::find(statuses, status) == statuses.end()) statuses.push_back(status);
  };
  if (!gate.wrong_tokens.empty()) add(ExitStatus::kWrongTokens);
  if (!gate.failed.empty()) add(ExitStatus::kBackendFailed);
  if (!gate.not_comparable.empty()) add(ExitStatus::kNotComparable);
  if (gate.count(Decision::kRegressed) > 0) add(ExitStatus::kRegressed);
  // An invalid waiver is an error in the repository, and bad input only where no result fails: as status 2 comes before
  // the results, it would hide them.
  if (!gate.waiver_errors.empty() && statuses.empty()) add(ExitStatus::kBadInput);
  const bool is_inconclusive = gate.count(Decision::kInconclusive) > 0 || !gate.cannot_decide.empty();
  if (is_inconclusive && !allow_inconclusive) add(ExitStatus::kInconclusive);
  return statuses;
}

}  // namespace secondsource
