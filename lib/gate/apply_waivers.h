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
/// A waiver is invalid if it has expired (even if no cell needs it), if its cell exceeds its ceiling, if it matches no
/// verdict, or if it matches a verdict that another waiver matches too. An invalid waiver covers nothing. `today` is
/// YYYY-MM-DD.
void apply_waivers(std::span<const Waiver> waivers, std::string_view today, GateReport& report);

}  // namespace secondsource
