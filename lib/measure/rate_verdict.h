#pragma once
// Judges an attempt at one rate of arrivals: did the requests keep the SLO, and would they for longer?

#include <cstdint>
#include <span>
#include <string>

#include "record/rate_probe.h"
#include "record/records.h"
#include "record/slo.h"

namespace secondsource {

/// In a hold, first tokens may come later by at most this many seconds per second of arrivals: at more, an hour of such
/// load makes the queue longer by a minute and more.
inline constexpr double kHoldGrowth = 0.02;

/// How many of `n_requests` must keep the SLO: its share of them, rounded up.
[[nodiscard]] std::int64_t n_needed(const Slo& slo, std::int64_t n_requests);

struct RateVerdict {
  ProbeVerdict verdict = ProbeVerdict::kNotKept;
  std::string why{};  ///< one sentence
};

/// Whether the requests kept the SLO: kKept or kNotKept. In the search their share decides; in a hold this must also be
/// certain (exact binomial test, 95 %) where so many requests can show it.
[[nodiscard]] RateVerdict judge_attainment(ProbePhase phase, const Slo& slo,
                                           std::span<const RequestSample* const> samples);

/// The verdict on one load that was not given up. Besides keeping the SLO, first tokens must not come later and later,
/// and the arrivals must have been sent in time. kNever if too many requests missed the SLO, including every request
/// that had the system to itself.
[[nodiscard]] RateVerdict judge_rate(const Scenario& scenario, ProbePhase phase, const Slo& slo,
                                     std::span<const RequestSample> samples);

/// True if at least one request had the system to itself and every such request missed the SLO. Then no lower rate
/// helps.
[[nodiscard]] bool misses_alone(std::span<const RequestSample> samples, const Slo& slo);

}  // namespace secondsource
