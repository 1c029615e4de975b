#pragma once
// Waivers against what a gate found.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gate/waiver.h"
#include "report/gate_record.h"

namespace secondsource {

/// Marks the regressions that a waiver covers (GateVerdict::waived_by) and lists in waiver_errors every waiver that is
/// not in order: expired, whether or not a cell needs it; exceeded by its cell; matching no verdict; matching a verdict
/// that another one matches as well. Such a waiver covers nothing. `today`: YYYY-MM-DD.
void apply_waivers(std::span<const Waiver> waivers, std::string_view today, GateReport& report);

}  // namespace secondsource
