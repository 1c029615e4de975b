#pragma once
// Applies waivers to the verdicts of a gate.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gate/gate_record.h"
#include "gate/waiver.h"

namespace secondsource {

/// Marks the regressions that a waiver covers (GateVerdict::waived_by) and lists every invalid waiver in waiver_errors.
/// A waiver is invalid if it has expired or is valid for more than a year (even if no cell needs it), if its cell exceeds
/// its ceiling, if it matches no verdict although its backend has some, or if it matches a verdict that another waiver
/// matches too. An invalid waiver covers nothing. A waiver whose backend has no verdict is listed in waiver_notes. The
/// change is compared with the ceiling as it is printed, to a tenth of a percent.
/// `today` is YYYY-MM-DD.
void apply_waivers(std::span<const Waiver> waivers, std::string_view today, GateReport& report);

}  // namespace secondsource
