#pragma once
// A gate's findings as workflow commands of GitHub, which shows them beside the code of a pull request:
//
//   ::error file=backends/cpu/matmul.cpp,line=12,title=cost regressed::default/cpu/bf16/offline-b8: +14 %, ...

#include <string>

#include "gate/gate_record.h"

namespace secondsource {

/// One line a finding, the most serious first: errors for wrong tokens, for failed cells and for regressions that nothing
/// covers, warnings for what cannot be told or compared, notices for waived regressions. Passed cells give none. A host shows
/// ten of each kind in a step.
[[nodiscard]] std::string write_annotations(const GateReport& report);

}  // namespace secondsource
