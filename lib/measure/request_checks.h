#pragma once
// Checks that a measurement makes on itself: on its requests, their tokens and their times. Pure functions of what was
// recorded; docs/checks.md has the table, with the reason for every limit.

#include <cstdint>
#include <span>
#include <vector>

#include "report/records.h"

namespace secondsource {

/// Shares by which the achieved rate of arrivals may miss the one that was asked for: marked, and the cell is about
/// another load. Of arrivals that take less than kShortestRateNs one late one would decide.
inline constexpr double kRateSuspect = 0.05;
inline constexpr double kRateInvalid = 0.20;
inline constexpr std::int64_t kShortestRateNs = 1'000'000'000;
/// Times per token that fell by more than this share over the repetition, without doubt: it was not warm.
inline constexpr double kTrendTolerance = 0.10;
/// Seconds that the first token came later per second of arrivals: the queue only grows.
inline constexpr double kQueueGrowth = 0.10;
/// Significance that a trend must have. One of a thousand steady repetitions would be called trending.
inline constexpr double kTrendP = 0.001;
/// The share, and the time, by which tokens' own stamps may differ from the load generator's clock.
inline constexpr double kStampTolerance = 0.01;
inline constexpr std::int64_t kStampToleranceNs = 100'000;

/// "requests": all of them ended without an error.
[[nodiscard]] CheckRecord check_requests(std::span<const RequestSample> samples);
/// "tokens": each request got what it asked for, by the count of tokens that arrived and by the system's own.
/// `asked`: one a sample.
[[nodiscard]] CheckRecord check_tokens(std::span<const RequestSample> samples, std::span<const std::int32_t> asked);
/// "timestamps": in order (scheduled, sent, first token, received), and the sum of the gaps between tokens is the time
/// from the first to the last on the load generator's clock, for the median request.
[[nodiscard]] CheckRecord check_timestamps(std::span<const RequestSample> samples);
/// "rate": of an open loop; not available for a closed one or for arrivals that end soon.
[[nodiscard]] CheckRecord check_rate(const Scenario& scenario, std::span<const RequestSample> samples);
/// Arrivals a second, from the first to the last; nullopt below two.
[[nodiscard]] std::optional<double> scheduled_rate(std::span<const RequestSample> samples);
[[nodiscard]] std::optional<double> sent_rate(std::span<const RequestSample> samples);
/// "queue": of an open loop; the time to the first token does not grow with the time of arrival.
[[nodiscard]] CheckRecord check_queue(const Scenario& scenario, std::span<const RequestSample> samples);
/// "warm_up": the time per token does not trend over the repetition; and suspect where the warm-up before it did not
/// settle.
[[nodiscard]] CheckRecord check_warm_up(std::span<const RequestSample> samples, bool settled);
/// "compiled": no step was compiled while it was wanted.
[[nodiscard]] CheckRecord check_compiled(std::int64_t n_compiled);

}  // namespace secondsource
