#pragma once
// A gate's report in the formats that `gate` and `ab` print.

#include <span>
#include <string>
#include <vector>

#include "report/gate_record.h"
#include "report/stored_run.h"

namespace secondsource {

struct GateOutput {
  const GateReport& report;
  std::vector<std::string> header;           ///< lines above the table, for a person
  std::span<const SummarizedRun> runs = {};  ///< whose results go with it
};

/// `format`: table, markdown, json or junit.
[[nodiscard]] std::string render_gate(const GateOutput& output, const std::string& format);

}  // namespace secondsource
