#pragma once
// Renders a gate's report in the formats that `gate` and `ab` print.

#include <span>
#include <string>

#include "gate/gate_record.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// `format` is table, markdown, json or junit. `runs` are those whose results are included.
[[nodiscard]] std::string render_gate(const GateReport& report, const std::string& format,
                                      std::span<const SummarizedRun> runs = {});

}  // namespace secondsource
