#pragma once
// The changes of a gate with their intervals, drawn with characters for places that show no images: a step summary, a
// comment, a terminal.

#include <string>
#include <vector>

#include "gate/gate_record.h"

namespace secondsource {

/// One line a verdict with a change, the largest changes first, at most `max_lines`, below a line with the scale:
/// "-" from end to end of the interval, "o" the change, "|" none, ":" the threshold to both sides. Empty without any.
[[nodiscard]] std::vector<std::string> change_bars(const GateReport& report, std::size_t max_lines = 20);

}  // namespace secondsource
