#pragma once
// A gate's regressions as SARIF 2.1.0 (OASIS standard, 2020), for code hosts that show such findings beside the code.
// There is one result per operation that a loss was traced to, located at the kernel's source, and one per regression
// without such an operation.

#include <string>

#include "gate/gate_record.h"

namespace secondsource {

/// Regressions are errors, and waived ones are notes. Wrong tokens and failed cells are errors at the file that defines the build.
/// What could not be compared or decided is a notification of the invocation, which then was not successful: it belongs to no line of
/// the code.
[[nodiscard]] std::string write_sarif(const GateReport& report);

}  // namespace secondsource
