#pragma once
// JUnit XML: one test case a cell, and one a gate verdict, so that any CI shows which of them failed and why.

#include <span>
#include <string>

#include "report/gate_record.h"
#include "report/stored_run.h"

namespace secondsource {

/// Wrong tokens and regressions are failures; a crash, an INVALID measurement or runs that may not be compared are
/// errors; what is unverified, partial, waived or inconclusive is skipped, with the reason. `gate` may be null.
[[nodiscard]] std::string write_junit(std::span<const SummarizedRun> runs, const GateReport* gate);

}  // namespace secondsource
