#include "summary/repetition_clocks.h"

#include <algorithm>

namespace secondsource {

std::vector<RepetitionClock> repetition_clocks(const RunRecord& record, const std::vector<JournalLine>& lines) {
  std::vector<RepetitionClock> clocks;
  for (const JournalLine& line : lines) {
    const auto* repetition = std::get_if<Repetition>(&line);
    if (repetition == nullptr || (!repetition->server_clock && repetition->clients.empty())) continue;
    const auto cell =
        std::ranges::find(record.cells, repetition->cell, [](const PlannedCell& one) { return one.key.id(); });
    if (cell == record.cells.end()) continue;
    clocks.push_back({.key = cell->key,
                      .repetition = repetition->repetition,
                      .window_ns = repetition->window_end_ns - repetition->window_start_ns,
                      .server = repetition->server_clock,
                      .clients = repetition->clients});
  }
  return clocks;
}

}  // namespace secondsource
