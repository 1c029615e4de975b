#pragma once
// Where regressed cells lost their time, for a person.

#include <string>

#include "report/gate_record.h"
#include "report/text_table.h"

namespace secondsource {

/// cell x operation -> base, candidate, share of the loss, kernel, source.
[[nodiscard]] TextTable loss_table(const GateReport& report);

/// "; 83 % of the loss is in matmul (decode, 1 x 1024 -> 3072)": to follow GateVerdict::why. Empty without losses.
[[nodiscard]] std::string loss_sentence(const GateReport& report, const GateVerdict& verdict);

}  // namespace secondsource
