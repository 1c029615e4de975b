#pragma once
// One self-contained page: no script, no network, prints well. Charts are inline SVG.

#include <span>
#include <string>

#include "report/gate_record.h"
#include "report/stored_run.h"

namespace secondsource {

[[nodiscard]] std::string write_html(std::span<const SummarizedRun> runs, const GateReport* gate);

}  // namespace secondsource
