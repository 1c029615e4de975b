#include "report/gate_record.h"

#include <algorithm>

namespace secondsource {

std::string_view to_string(Decision decision) {
  switch (decision) {
    case Decision::kPass:
      return "pass";
    case Decision::kRegressed:
      return "regressed";
    case Decision::kInconclusive:
      return "inconclusive";
  }
  return "inconclusive";
}

std::int64_t GateReport::count(Decision decision) const {
  return std::count_if(verdicts.begin(), verdicts.end(), [&](const GateVerdict& verdict) {
    return verdict.decision == decision && verdict.waived_by.empty();
  });
}

std::int64_t GateReport::count_waived() const {
  return std::count_if(verdicts.begin(), verdicts.end(),
                       [](const GateVerdict& verdict) { return !verdict.waived_by.empty(); });
}

}  // namespace secondsource
