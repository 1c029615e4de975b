#pragma once
// The interval over which output tokens are counted for output tokens/s. The rule, per scenario:
//   single-stream  the whole repetition: the clock of a repetition stands still while a sample is put on disk
//   offline        from the first request sent (all slots fill at once) to the first moment when a request ended and
//                  none was left to take its place: from then on fewer than `batch` are in flight
//   server         from the first end of a request, when requests in flight have become as many as they stay, to the
//                  last arrival, after which they become fewer; where that leaves nothing, from the first
//                  arrival to the last token
// A token counts when its time lies after the start and not after the end.

#include <cstdint>
#include <span>

#include "measure/load_generator.h"

namespace secondsource {

struct SteadyWindow {
  std::int64_t start_ns = 0;  ///< monotonic clock
  std::int64_t end_ns = 0;
  std::int64_t n_output_tokens = 0;
};

[[nodiscard]] SteadyWindow steady_window(ScenarioKind kind, const LoadResult& load);

}  // namespace secondsource
