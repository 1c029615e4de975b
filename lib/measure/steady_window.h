#pragma once
// The interval over which output tokens are counted for output tokens/s. The rule for each scenario is:
//   single-stream  the whole repetition, whose clock stands still while a sample is stored on disk
//   offline        from the first request sent (all slots fill at once) until a request ends and none is left to take
//                  its place; after that, fewer than `batch` requests are in flight
//   server         from the first end of a request, when the number of requests in flight has reached its level, to
//                  the last arrival, after which it falls; if nothing lies between the two, from the first arrival to
//                  the last token
// In conversations of several turns, a conversation takes the place of a request in these rules.
// A token counts if its time lies after the start and not after the end.

#include <cstdint>
#include <span>

#include "measure/load_generator.h"

namespace secondsource {

struct SteadyWindow {
  std::int64_t start_ns = 0;  ///< monotonic clock
  std::int64_t end_ns = 0;
  std::int64_t n_output_tokens = 0;
};

/// `turns` is the number of turns of a conversation; if it is above 1, the tags of the requests are their indices.
[[nodiscard]] SteadyWindow steady_window(ScenarioKind kind, const LoadResult& load, std::int32_t turns = 1);

}  // namespace secondsource
