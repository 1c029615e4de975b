#include "measure/steady_window.h"

#include <algorithm>

namespace secondsource {
namespace {

std::int64_t last_token_ns(const LoadResult& load) {
  std::int64_t last = load.start_ns;
  for (const ObservedRequest& request : load.requests) {
    if (!request.token_ns.empty()) last = std::max(last, request.token_ns.back());
  }
  return last;
}

}  // namespace

SteadyWindow steady_window(ScenarioKind kind, const LoadResult& load, std::int32_t turns) {
  SteadyWindow window;
  if (load.requests.empty()) return window;
  window.start_ns = load.requests.front().scheduled_ns;
  window.end_ns = kind == ScenarioKind::kOffline && load.full_until_ns != 0 ? load.full_until_ns : last_token_ns(load);
  // A single stream sends its next request when this one has ended. The time from the last token to that end counts, too.
  if (kind == ScenarioKind::kSingleStream) window.end_ns = load.end_ns;
  if (kind == ScenarioKind::kServer) {
    std::int64_t first_end_ns = INT64_MAX;
    std::int64_t last_arrival_ns = window.start_ns;
    for (const ObservedRequest& request : load.requests) {
      const bool is_last_turn = turns == 1 || (request.tag + 1) % turns == 0;
      const bool is_first_turn = turns == 1 || request.tag % turns == 0;
      if (is_last_turn && !request.token_ns.empty()) first_end_ns = std::min(first_end_ns, request.token_ns.back());
      if (is_first_turn) last_arrival_ns = std::max(last_arrival_ns, request.scheduled_ns);
    }
    if (first_end_ns < last_arrival_ns) {
      window.start_ns = first_end_ns;
      window.end_ns = last_arrival_ns;
    }
  }
  for (const ObservedRequest& request : load.requests) {
    window.n_output_tokens += std::count_if(request.token_ns.begin(), request.token_ns.end(), [&](std::int64_t at_ns) {
      return at_ns > window.start_ns && at_ns <= window.end_ns;
    });
  }
  return window;
}

}  // namespace secondsource
