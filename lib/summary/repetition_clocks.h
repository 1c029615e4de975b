#pragma once
// What the repetitions of a run show about clocks: about a server's clock by its Dates, and how the clocks of several
// clients were related.

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

/// The repetitions of planned cells that show anything about clocks, in the order of the journal.
[[nodiscard]] std::vector<RepetitionClock> repetition_clocks(const RunRecord& record,
                                                             const std::vector<JournalLine>& lines);

}  // namespace secondsource
