#pragma once
// What the repetitions of a run say of clocks: of a server's by its Dates, and of how those of several clients were related.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "record/records.h"

namespace secondsource {

struct RepetitionClock {
  CellKey key;
  std::int32_t repetition = 0;
  std::int64_t window_ns = 0;
  std::optional<ServerClock> server{};
  std::vector<ClientShift> clients{};  ///< of a merged run
};

/// Those repetitions of planned cells that say anything, in the order of the journal.
[[nodiscard]] std::vector<RepetitionClock> repetition_clocks(const RunRecord& record,
                                                             const std::vector<JournalLine>& lines);

}  // namespace secondsource
