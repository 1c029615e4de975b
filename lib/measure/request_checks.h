#pragma once
// Checks a measurement itself: its requests, their tokens and their times. Pure functions of the records;
// docs/checks.md has the table, with the reason for every limit.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "record/records.h"

namespace secondsource {

/// Shares by which the achieved rate of arrivals may deviate from the requested one: above the first the cell is
/// suspect, above the second it measures another load. Arrivals that take less than kShortestRateNs are not judged,
/// because a single late one would decide.
inline constexpr double kRateSuspect = 0.05;
inline constexpr double kRateInvalid = 0.20;
inline constexpr std::int64_t kShortestRateNs = 1'000'000'000;
/// If the time per token fell significantly and by more than this share over the repetition, the system was not warm.
inline constexpr double kTrendTolerance = 0.10;
/// If first tokens come later by more than this many seconds per second of arrivals, the queue grows without end.
inline constexpr double kQueueGrowth = 0.10;
/// Significance that a trend must have: one in a thousand steady repetitions would be called trending.
inline constexpr double kTrendP = 0.001;
/// A trend of the time per token is judged only over at least this much time and this many steps: in less, a neighbour
/// who stops is no different from a system that becomes warm.
inline constexpr std::int64_t kShortestTrendNs = 1'000'000'000;
inline constexpr std::size_t kFewestTrendSteps = 100;
/// The share and the time by which the tokens' own stamps may differ from the load generator's clock.
inline constexpr double kStampTolerance = 0.01;
inline constexpr std::int64_t kStampToleranceNs = 100'000;
/// The share of the time to a first token by which it may arrive after its own stamp, beside kStampToleranceNs: half of the
/// gate's threshold of 10 %.
inline constexpr double kLateArrivalShare = 0.05;
/// The quantile over requests that must exceed this tolerance. A wrong clock is wrong in every request, while a load
/// generator that loses its CPU records some tokens too late; on a busy machine this can affect most requests.
inline constexpr double kStampQuantile = 0.10;
/// With few readings, a single token that the load generator recorded late decides, and the host's counters do not show
/// such a short wait. A difference is therefore suspect, and not INVALID, up to this time above the tolerance
/// (docs/checks.md has the measurement). The checks of the host detect longer waits.
inline constexpr std::int64_t kLateReadingNs = 5'000'000;

/// Shares of the prompt tokens that a system may take from a cache although the scenario's prompts share nothing. Above
/// the first the cell is suspect; above the second the missing prefill is as large as a change for which the gate
/// fails.
inline constexpr double kPromptCacheSuspect = 0.01;
inline constexpr double kPromptCacheInvalid = 0.10;

/// "requests": checks that all of them ended without an error.
[[nodiscard]] CheckRecord check_requests(std::span<const RequestSample> samples);
/// The share by which the tokens in the text of answers may differ from the number that was taken for them: a change for
/// which the gate fails. In short answers two tokens are allowed, since text does not always become the same tokens
/// again (docs/metrics.md).
inline constexpr double kTextTolerance = 0.10;
inline constexpr std::int64_t kTextToleranceTokens = 2;

/// "tokens": checks that each request got the tokens that it asked for, by the number of tokens that arrived and by the
/// system's own count. Where a system does not count, tokens that nothing showed must agree with the text that arrived.
/// `asked` has one entry per sample.
[[nodiscard]] CheckRecord check_tokens(std::span<const RequestSample> samples, std::span<const std::int32_t> asked);
inline constexpr std::string_view kFewReadings = "few readings: ";
/// "timestamps": checks that times are in order (scheduled, sent, first token, received), and that the sum of the gaps
/// between tokens is the time from the first to the last token on the load generator's clock, for at least a tenth of
/// the requests. The detail of a difference begins with kFewReadings if it rests on fewer than ten readings; such a difference
/// is suspect up to kLateReadingNs above the tolerance.
[[nodiscard]] CheckRecord check_timestamps(std::span<const RequestSample> samples);
/// For a system that stamps its tokens in another process: makes `timestamps`, if it is not INVALID, suspect if the median time from
/// the stamp of a first token to its arrival is more than kLateArrivalShare of the median time to that arrival. The
/// difference of the two clocks above does not show a delay that is the same for every token.
void suspect_late_arrivals(std::span<const RequestSample> samples, CheckRecord& timestamps);
/// "rate": checks the arrivals of an open loop; not available for a closed loop or for arrivals that end soon.
[[nodiscard]] CheckRecord check_rate(const Scenario& scenario, std::span<const RequestSample> samples);
/// Arrivals per second, from the first to the last; nullopt for fewer than two.
[[nodiscard]] std::optional<double> scheduled_rate(std::span<const RequestSample> samples);
[[nodiscard]] std::optional<double> sent_rate(std::span<const RequestSample> samples);
/// "queue": checks, in an open loop, that the time to the first token does not grow with the time of arrival, by more than
/// `growth` seconds per second.
[[nodiscard]] CheckRecord check_queue(const Scenario& scenario, std::span<const RequestSample> samples,
                                      double growth = kQueueGrowth);
/// "prompt_cache": checks, by the system's own count, that the system computed the prompts of requests whose
/// prompts share nothing by the scenario; in conversations these are the first turns. Not available if the scenario or
/// a recorded load shares prompts, or if the system counts none.
[[nodiscard]] CheckRecord check_prompt_cache(const Scenario& scenario, std::span<const RequestSample> samples);
/// "warm_up": checks that the time per token has no trend over the repetition; not available for a repetition that is
/// too short for a trend. Whether the warm-up before it settled is only mentioned: its windows last milliseconds, and
/// on a shared machine few of them agree within 5 %, so judging by it would reject valid measurements.
[[nodiscard]] CheckRecord check_warm_up(std::span<const RequestSample> samples, bool settled);
/// "compiled": checks that no step was compiled while requests waited for it; not available for nullopt, which stands for a
/// system that does not show its steps.
[[nodiscard]] CheckRecord check_compiled(std::optional<std::int64_t> n_compiled);

}  // namespace secondsource
