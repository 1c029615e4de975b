#pragma once
// JUnit XML: one test case a cell, and one a gate verdict, so that any CI shows which of them failed and why.

#include <span>
#include <string>

#include "report/gate_record.h"
#include "report/stored_run.h"

namespace secondsource {

[[nodiscard]] std::string write_junit(std::span<const SummarizedRun> runs, const GateReport* gate);

}  // namespace secondsource
