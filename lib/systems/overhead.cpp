#include "systems/overhead.h"

#include <algorithm>
#include <vector>

#include "core/interrupt.h"
#include "measure/load_generator.h"
#include "systems/null_system.h"

namespace secondsource {
namespace {

constexpr std::int32_t kRequests = 64;
constexpr int kTries = 20;

/// The shortest time of `kRequests` requests, one at a time, with so many tokens each.
Result<double> shortest_ns(std::int32_t n_output_tokens) {
  std::vector<TimedRequest> requests(kRequests);
  for (std::int32_t index = 0; index < kRequests; ++index) {
    requests[static_cast<std::size_t>(index)].tag = index;
    requests[static_cast<std::size_t>(index)].n_output_tokens = n_output_tokens;
  }
  const InterruptFlag never;
  ProgressCount progress{0};
  double shortest = 1e18;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    NullSystem system;
    SS_TRY(const LoadResult load, generate_load(system, requests, {.in_flight = 1}, never, progress));
    shortest = std::min(shortest, static_cast<double>(load.end_ns - load.start_ns));
  }
  return shortest;
}

}  // namespace

Result<HarnessOverhead> measure_harness_overhead() {
  constexpr std::int32_t kShort = 1;
  constexpr std::int32_t kLong = 65;
  SS_TRY(const double short_ns, shortest_ns(kShort));
  SS_TRY(const double long_ns, shortest_ns(kLong));
  HarnessOverhead overhead;
  overhead.ns_per_token = std::max(0.0, (long_ns - short_ns) / (kRequests * (kLong - kShort)));
  overhead.ns_per_request = std::max(0.0, short_ns / kRequests - overhead.ns_per_token * kShort);
  return overhead;
}

}  // namespace secondsource
