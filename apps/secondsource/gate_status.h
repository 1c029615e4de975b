#pragma once
// From a gate's report to exit statuses, for `gate` and `run --baseline` alike.

#include <vector>

#include "exit_status.h"
#include "report/gate_record.h"

namespace secondsource {

/// Every status that the report calls for; most_serious() picks one. Inconclusive is left out when allowed.
[[nodiscard]] std::vector<ExitStatus> statuses_of(const GateReport& gate, bool allow_inconclusive);

}  // namespace secondsource
