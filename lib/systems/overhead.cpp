#include "systems/overhead.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/interrupt.h"
#include "measure/load_generator.h"
#include "systems/null_system.h"

namespace secondsource {
namespace {

constexpr std::int32_t kRequests = 64;
constexpr int kTries = 20;

/// The shortest time in which `kRequests` requests of `n_output_tokens` each complete, `in_flight` of them at a time.
Result<double> shortest_ns(std::int32_t in_flight, std::int32_t n_output_tokens) {
  std::vector<TimedRequest> requests(kRequests);
  for (std::int32_t index = 0; index < kRequests; ++index) {
    requests[static_cast<std::size_t>(index)].tag = index;
    requests[static_cast<std::size_t>(index)].n_output_tokens = n_output_tokens;
  }
  const InterruptFlag never;
  ProgressCount progress{0};
  double shortest = 1e18;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    NullSystem system({.max_in_flight = in_flight});
    SS_TRY(const LoadResult load, generate_load(system, requests, {.in_flight = in_flight}, never, progress));
    shortest = std::min(shortest, static_cast<double>(load.end_ns - load.start_ns));
  }
  return shortest;
}

/// Returns the cost of one request and the cost of one token, in nanoseconds.
Result<std::pair<double, double>> costs_ns(std::int32_t in_flight) {
  constexpr std::int32_t kShort = 1;
  constexpr std::int32_t kLong = 65;
  SS_TRY(const double short_ns, shortest_ns(in_flight, kShort));
  SS_TRY(const double long_ns, shortest_ns(in_flight, kLong));
  const double per_token = std::max(0.0, (long_ns - short_ns) / (kRequests * (kLong - kShort)));
  return std::pair(std::max(0.0, short_ns / kRequests - per_token * kShort), per_token);
}

}  // namespace

Result<HarnessCost> measure_harness_overhead() {
  constexpr double kTogether = 16;
  SS_TRY(const auto alone, costs_ns(1));
  SS_TRY(const auto together, costs_ns(static_cast<std::int32_t>(kTogether)));
  // With one request in flight, every token costs a whole poll besides its own handling; with sixteen, one poll brings
  // sixteen tokens, so that each costs a sixteenth of a poll besides its own handling.
  const double per_poll = std::max(0.0, (alone.second - together.second) * kTogether / (kTogether - 1));
  return HarnessCost{alone.first, per_poll, std::max(0.0, alone.second - per_poll)};
}

}  // namespace secondsource
