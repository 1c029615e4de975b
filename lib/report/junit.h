#pragma once
// JUnit XML with one test case per cell and one per gate verdict, so that any CI system shows which of them failed and
// why.

#include <span>
#include <string>

#include "gate/gate_record.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// Wrong tokens and regressions are failures. Crashes, INVALID measurements and runs that are not comparable are
/// errors. Unverified, partial, waived and inconclusive cases are skipped, with the reason. `gate` may be null.
[[nodiscard]] std::string write_junit(std::span<const SummarizedRun> runs, const GateReport* gate);

}  // namespace secondsource
