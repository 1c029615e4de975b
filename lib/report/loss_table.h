#pragma once
// Shows where regressed cells lost their time.

#include <string>

#include "gate/gate_record.h"
#include "report/text_table.h"

namespace secondsource {

/// One row per cell and operation: base, candidate, share of the loss, kernel, source.
[[nodiscard]] TextTable loss_table(const GateReport& report);

/// Returns "; 83 % of the loss is in matmul (decode, 1 x 1024 -> 3072)" to be appended to GateVerdict::why. Empty
/// without losses.
[[nodiscard]] std::string loss_sentence(const GateReport& report, const GateVerdict& verdict);

}  // namespace secondsource
