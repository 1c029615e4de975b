#pragma once
// A gate's regressions as SARIF 2.1.0 (OASIS standard, 2020), for code hosts that show such findings beside the code: a
// result for each operation that a loss was traced to, at the kernel's source; one for each regression that has none.

#include <string>

#include "report/gate_record.h"

namespace secondsource {

/// Regressions are errors, waived ones notes; wrong tokens and failed cells are errors without a place.
[[nodiscard]] std::string write_sarif(const GateReport& report);

}  // namespace secondsource
