#pragma once
// What a gate compared: each change as a point with its interval, against zero and the threshold.

#include "report/chart/chart.h"
#include "report/gate_record.h"

namespace secondsource {

[[nodiscard]] Chart changes_chart(std::string title, const GateReport& gate);

}  // namespace secondsource
