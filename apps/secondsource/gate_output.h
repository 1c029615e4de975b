#pragma once
// Renders a gate's report in the formats that `gate` and `ab` print.

#include <span>
#include <string>
#include <vector>

#include "gate/gate_record.h"
#include "summary/summarized_run.h"

namespace secondsource {

struct GateOutput {
  const GateReport& report;
  std::vector<std::string> header;           ///< lines above the table
  std::span<const SummarizedRun> runs = {};  ///< runs whose results are included
};

/// `format` is table, markdown, json or junit.
[[nodiscard]] std::string render_gate(const GateOutput& output, const std::string& format);

}  // namespace secondsource
