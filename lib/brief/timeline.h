#pragma once
// Plans when an option can be in place: rent and certify, migrate, ramp.

#include <string>
#include <string_view>
#include <vector>

#include "brief/brief.h"
#include "brief/demand.h"
#include "core/result.h"

namespace secondsource {

/// The consecutive phases of an option that is decided on `start` (YYYY-MM-DD), in whole weeks of five working days.
/// The last one is a review, a quarter after the load has moved; it is the only phase of staying. Errors:
/// kInvalidInput when it would be later than the year 9999.
Result<std::vector<BriefPhase>> timeline_of(const OptionSpec& option, std::string_view start);

}  // namespace secondsource
