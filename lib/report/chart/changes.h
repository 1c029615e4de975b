#pragma once
// The changes that a gate judged: each is a point with its interval, drawn beside zero and the threshold.

#include "gate/gate_record.h"
#include "report/chart/chart.h"

namespace secondsource {

[[nodiscard]] Chart changes_chart(std::string title, const GateReport& gate);

}  // namespace secondsource
