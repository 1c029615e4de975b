#include "measure/request_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <set>
#include <string>

#include "core/counted.h"
#include "core/units.h"
#include "stats/monotone_trend.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

using enum CheckOutcome;

// A tenth of fewer readings is less than one of them.
constexpr std::size_t kFewestReadings = 10;

// Number of windows into which a series is divided: enough for a trend to reach kTrendP (eleven of twelve falling), few
// enough for each to be a median of several values.
constexpr std::size_t kWindows = 12;
static_assert(kFewestTrendSteps >= 4 * kWindows);

std::optional<double> rate_of(std::span<const RequestSample> samples, std::int64_t RequestSample::*time) {
  if (samples.size() < 2) return std::nullopt;
  const auto [first, last] = std::ranges::minmax_element(samples, {}, time);
  const std::int64_t span_ns = (*last).*time - (*first).*time;
  if (span_ns <= 0) return std::nullopt;
  return 1e9 * static_cast<double>(samples.size() - 1) / static_cast<double>(span_ns);
}

/// What is out of order in the times of one request; empty if nothing is.
std::string disorder_of(const RequestSample& sample) {
  if (sample.sent_ns < sample.scheduled_ns) return "sent before its scheduled time";
  if (!sample.first_token_ns) return "";
  if (*sample.first_token_ns < sample.sent_ns) return "its first token came before it was sent";
  if (std::ranges::any_of(sample.itl_ns, [](std::int64_t gap) { return gap < 0; }))
    return "one of its tokens came before the previous one";
  if (sample.first_received_ns && *sample.first_received_ns < *sample.first_token_ns) {
    return "its first token was received before it was made";
  }
  if (sample.last_received_ns && sample.last_token_ns && *sample.last_received_ns < *sample.last_token_ns) {
    return "its last token was received before it was made";
  }
  return "";
}

/// The gaps between tokens of all requests, in the order of their times.
struct GapSeries {
  std::vector<double> gaps_ns;
  std::int64_t span_ns = 0;  ///< from the first to the last token after a gap
  std::size_t n_steps = 0;   ///< number of different times; the tokens of one step share theirs
};

GapSeries gaps_in_time(std::span<const RequestSample> samples) {
  std::vector<std::pair<std::int64_t, double>> gaps;
  for (const RequestSample& sample : samples) {
    if (!sample.first_token_ns) continue;
    std::int64_t at_ns = *sample.first_token_ns;
    for (const std::int64_t gap : sample.itl_ns) gaps.emplace_back(at_ns += gap, static_cast<double>(gap));
  }
  std::sort(gaps.begin(), gaps.end());
  GapSeries series;
  if (gaps.empty()) return series;
  series.span_ns = gaps.back().first - gaps.front().first;
  std::optional<std::int64_t> previous_ns;
  for (const auto& [at_ns, gap] : gaps) {
    series.gaps_ns.push_back(gap);
    if (at_ns != previous_ns) ++series.n_steps;
    previous_ns = at_ns;
  }
  return series;
}

/// The answers whose number of tokens neither the system nor one event for each token shows.
class UncountedTokens {
 public:
  void add(const RequestSample& sample) {
    const std::int32_t n_assumed = sample.assumed_tokens.value_or(0);
    n_assumed_ += n_assumed;
    if (sample.text_tokens) {
      n_with_text_ += sample.n_output_tokens;
      n_in_text_ += *sample.text_tokens;
    } else {
      n_unproven_ += n_assumed;
    }
  }
  [[nodiscard]] bool is_empty() const { return n_assumed_ == 0 && n_with_text_ == 0; }

  [[nodiscard]] CheckOutcome outcome() const {
    const double allowed =
        std::max(kTextTolerance * static_cast<double>(n_with_text_), static_cast<double>(kTextToleranceTokens));
    if (static_cast<double>(std::abs(n_in_text_ - n_with_text_)) > allowed) return kInvalid;
    return n_unproven_ > 0 ? kSuspect : kPassed;
  }

  [[nodiscard]] std::string finding() const {
    std::string text;
    if (n_assumed_ > 0) {
      text = fmt::format(
          "{} had no event of their own and are assumed, because the system gives no count and answers ended by their "
          "length",
          n_assumed_);
    }
    if (n_with_text_ > 0) {
      text += fmt::format(
          "{}the text of answers that were taken for {} tokens has {} by the bundle's tokenizer (allowed: {:.0f} % more "
          "or less)",
          text.empty() ? "" : "; ", n_with_text_, n_in_text_, 100 * kTextTolerance);
    }
    if (n_unproven_ > 0) text += fmt::format("; nothing shows whether {} of them came", n_unproven_);
    return text;
  }

 private:
  std::int64_t n_assumed_ = 0;
  std::int64_t n_unproven_ = 0;   ///< assumed, and without a text to compare with
  std::int64_t n_with_text_ = 0;  ///< tokens of answers whose text was counted
  std::int64_t n_in_text_ = 0;
};

/// How many of the requests the system counted the tokens of.
std::string words_of_count(std::int64_t n_counted, std::int64_t n_requests) {
  if (n_counted == n_requests) return " and as the system counts";
  if (n_counted == 0) return "; the system gives no count";
  return fmt::format("; the system counts those of {} of {} requests", n_counted, n_requests);
}

}  // namespace

CheckRecord check_requests(std::span<const RequestSample> samples) {
  const RequestSample* first = nullptr;
  std::int64_t n_failed = 0;
  for (const RequestSample& sample : samples) {
    if (sample.error.empty()) continue;
    if (first == nullptr) first = &sample;
    ++n_failed;
  }
  if (n_failed == 0) return {"requests", kPassed, fmt::format("{} ended", samples.size())};
  return {"requests", kInvalid,
          fmt::format("{} of {} failed; the first, {}: {}", n_failed, samples.size(), first->request, first->error)};
}

CheckRecord check_tokens(std::span<const RequestSample> samples, std::span<const std::int32_t> asked) {
  std::int64_t n_tokens = 0;
  std::int64_t n_good = 0;
  std::int64_t n_counted = 0;
  std::int64_t n_ended_early = 0;
  std::int64_t n_together = 0;
  UncountedTokens uncounted;
  for (std::size_t index = 0; index < samples.size(); ++index) {
    const RequestSample& sample = samples[index];
    if (!sample.error.empty()) continue;
    ++n_good;
    n_tokens += sample.n_output_tokens;
    const bool ended_early = sample.finish == RequestFinish::kEos && sample.n_output_tokens < asked[index];
    n_ended_early += ended_early ? 1 : 0;
    const bool is_cancelled = sample.finish == RequestFinish::kCancelled && sample.n_output_tokens < asked[index];
    if (sample.n_output_tokens != asked[index] && !ended_early && !is_cancelled) {
      return {"tokens", kInvalid,
              fmt::format("request {}: expected {}, found {}", sample.request, counted(asked[index], "output token"),
                          sample.n_output_tokens)};
    }
    if (sample.engine_tokens && *sample.engine_tokens != sample.n_output_tokens) {
      return {"tokens", kInvalid,
              fmt::format("request {}: {} arrived, the system counts {}", sample.request,
                          counted(sample.n_output_tokens, "token"), *sample.engine_tokens)};
    }
    n_counted += sample.engine_tokens ? 1 : 0;
    n_together += std::ranges::count(sample.itl_ns, 0);
    uncounted.add(sample);
  }
  const CheckOutcome by_text = uncounted.outcome();
  if (by_text == kInvalid) return {"tokens", kInvalid, uncounted.finding()};
  std::string detail;
  if (n_ended_early > 0) {
    detail = fmt::format(
        "{} of {} requests ended before the length that was asked for, so the lengths of answers are the system's own",
        n_ended_early, n_good);
  } else {
    detail = fmt::format("{} arrived, as asked{}{}", n_tokens, words_of_count(n_counted, n_good),
                         n_together == 0 ? "" : fmt::format("; {} at the same time as the one before", n_together));
  }
  if (!uncounted.is_empty()) detail += "; " + uncounted.finding();
  return {"tokens", n_ended_early > 0 ? kSuspect : by_text, std::move(detail)};
}

CheckRecord check_timestamps(std::span<const RequestSample> samples) {
  std::vector<double> differences;
  std::vector<double> durations;
  std::set<std::int64_t> readings;
  for (const RequestSample& sample : samples) {
    if (const std::string disorder = disorder_of(sample); !disorder.empty()) {
      return {"timestamps", kInvalid, fmt::format("request {}: {}", sample.request, disorder)};
    }
    if (!sample.first_received_ns || !sample.last_received_ns || sample.itl_ns.empty()) continue;
    const std::int64_t sum_ns = std::accumulate(sample.itl_ns.begin(), sample.itl_ns.end(), std::int64_t{0});
    const std::int64_t received_ns = *sample.last_received_ns - *sample.first_received_ns;
    differences.push_back(static_cast<double>(std::abs(sum_ns - received_ns)));
    durations.push_back(static_cast<double>(received_ns));
    readings.insert(*sample.last_received_ns);
  }
  if (durations.empty()) return {"timestamps", kNotAvailable, "no request has two tokens"};
  std::ranges::sort(differences);
  const double difference_ns = quantile_of_sorted(differences, kStampQuantile);
  const double duration_ns = *median(durations);
  const double allowed_ns = kStampTolerance * duration_ns + static_cast<double>(kStampToleranceNs);
  const bool has_few = readings.size() < kFewestReadings;
  const double explained_ns = allowed_ns + (has_few ? static_cast<double>(kLateReadingNs) : 0);
  return {"timestamps",
          difference_ns > explained_ns ? kInvalid
          : difference_ns > allowed_ns ? kSuspect
                                       : kPassed,
          fmt::format(
              "{}gaps between tokens and E2E - TTFT differ by {} or more of {} in 90 % of the requests (allowed: {})",
              has_few ? kFewReadings : "", format_duration_ns(std::llround(difference_ns)),
              format_duration_ns(std::llround(duration_ns)), format_duration_ns(std::llround(allowed_ns)))};
}

void suspect_late_arrivals(std::span<const RequestSample> samples, CheckRecord& timestamps) {
  if (timestamps.outcome != kPassed && timestamps.outcome != kSuspect) return;
  std::vector<double> delays_ns, waits_ns;
  for (const RequestSample& sample : samples) {
    if (!sample.first_token_ns || !sample.first_received_ns) continue;
    delays_ns.push_back(static_cast<double>(*sample.first_received_ns - *sample.first_token_ns));
    waits_ns.push_back(static_cast<double>(*sample.first_received_ns - sample.sent_ns));
  }
  if (delays_ns.empty()) return;
  const double delay_ns = *median(delays_ns);
  const double wait_ns = *median(waits_ns);
  if (delay_ns <= kLateArrivalShare * wait_ns + static_cast<double>(kStampToleranceNs)) return;
  const std::string late = fmt::format(
      "first tokens arrived {} after the times that the system itself stamped, of {} from sending to arrival (medians): "
      "a user has them later than the row says",
      format_duration_ns(std::llround(delay_ns)), format_duration_ns(std::llround(wait_ns)));
  timestamps.detail = timestamps.outcome == kSuspect ? timestamps.detail + "; " + late : late;
  timestamps.outcome = kSuspect;
}

std::optional<double> scheduled_rate(std::span<const RequestSample> samples) {
  return rate_of(samples, &RequestSample::scheduled_ns);
}

std::optional<double> sent_rate(std::span<const RequestSample> samples) {
  return rate_of(samples, &RequestSample::sent_ns);
}

CheckRecord check_rate(const Scenario& scenario, std::span<const RequestSample> samples) {
  if (scenario.kind != ScenarioKind::kServer) return {"rate", kNotAvailable, "a closed loop asks for no rate"};
  const auto scheduled = scheduled_rate(samples);
  const auto sent = sent_rate(samples);
  const double spanned_ns = scheduled ? 1e9 * static_cast<double>(samples.size() - 1) / *scheduled : 0;
  if (!sent || spanned_ns < static_cast<double>(kShortestRateNs)) {
    return {"rate", kNotAvailable, "needs arrivals over at least a second"};
  }
  const double missed = std::abs(*sent / *scheduled - 1);
  return {"rate",
          missed > kRateInvalid   ? kInvalid
          : missed > kRateSuspect ? kSuspect
                                  : kPassed,
          fmt::format("{:.3g} requests/s were scheduled, {:.3g} sent", *scheduled, *sent)};
}

CheckRecord check_queue(const Scenario& scenario, std::span<const RequestSample> samples, double growth) {
  if (scenario.kind != ScenarioKind::kServer) return {"queue", kNotAvailable, "a closed loop has no queue of arrivals"};
  std::vector<const RequestSample*> answered;
  for (const RequestSample& sample : samples) {
    if (sample.first_token_ns) answered.push_back(&sample);
  }
  std::ranges::sort(answered, {}, [](const RequestSample* sample) { return sample->scheduled_ns; });
  std::vector<double> arrivals_s, waits_s;
  for (const RequestSample* sample : answered) {
    arrivals_s.push_back(1e-9 * static_cast<double>(sample->scheduled_ns));
    waits_s.push_back(1e-9 * static_cast<double>(*sample->ttft_e2e_ns()));
  }
  if (answered.size() < kWindows) {
    return {"queue", kNotAvailable, fmt::format("needs {} requests, has {}", kWindows, answered.size())};
  }
  const auto trend = monotone_trend(medians_of_groups(arrivals_s, kWindows), medians_of_groups(waits_s, kWindows));
  const bool grows = trend->p < kTrendP && trend->slope > growth;
  return {"queue", grows ? kInvalid : kPassed,
          grows ? fmt::format("with each second of arrivals the first token comes {:.2g} s later: the queue is "
                              "saturated, or the run is too short to reach its steady state",
                              trend->slope)
                : fmt::format("the first token comes {:+.2g} s later per second of arrivals (p {:.2g})", trend->slope,
                              trend->p)};
}

CheckRecord check_warm_up(std::span<const RequestSample> samples, bool settled) {
  const std::string_view before = settled ? "" : "the warm-up did not settle; ";
  const GapSeries series = gaps_in_time(samples);
  if (series.n_steps < kFewestTrendSteps || series.span_ns < kShortestTrendNs) {
    return {"warm_up", kNotAvailable,
            fmt::format("{}a trend needs {} steps over {}, has {} over {}", before, kFewestTrendSteps,
                        format_duration_ns(kShortestTrendNs), series.n_steps, format_duration_ns(series.span_ns))};
  }
  const std::vector<double> windows = medians_of_groups(series.gaps_ns, kWindows);
  std::vector<double> order(kWindows);
  std::iota(order.begin(), order.end(), 0.0);
  const MonotoneTrend trend = *monotone_trend(order, windows);
  const double first = trend.at(0);
  const double change = first > 0 ? trend.at(kWindows - 1.0) / first - 1 : 0;
  const bool certain = trend.p < kTrendP && std::abs(change) > kTrendTolerance;
  const std::string figures = fmt::format("{}time per token changed by {:+.1f} % over the repetition (p {:.2g})",
                                          before, 100 * change, trend.p);
  if (certain && change < 0) return {"warm_up", kInvalid, figures + ": the system was not warm yet"};
  if (certain) return {"warm_up", kSuspect, figures + ": contexts grow, or the machine slows down"};
  return {"warm_up", kPassed, figures};
}

CheckRecord check_prompt_cache(const Scenario& scenario, std::span<const RequestSample> samples) {
  const std::string name = "prompt_cache";
  if (scenario.n_shared_prefix > 0) return {name, kNotAvailable, "the scenario shares a prefix"};
  if (scenario.arrivals == ArrivalKind::kTrace) {
    return {name, kNotAvailable, "recorded prompts may have shared a prefix"};
  }
  std::int64_t n_tokens = 0;
  std::int64_t n_cached = 0;
  bool any_prompt = false;
  for (const RequestSample& sample : samples) {
    if (!sample.error.empty() || sample.turn.value_or(1) > 1) continue;
    any_prompt = any_prompt || sample.n_prompt_tokens > 0;
    if (!sample.n_cached_prompt_tokens) continue;
    n_tokens += sample.n_prompt_tokens;
    n_cached += *sample.n_cached_prompt_tokens;
  }
  if (!any_prompt) return {name, kNotAvailable, "no request has a prompt"};
  if (n_tokens == 0) {
    return {name, kNotAvailable, "the system does not say how many prompt tokens came from a cache"};
  }
  const double share = static_cast<double>(n_cached) / static_cast<double>(n_tokens);
  if (share <= kPromptCacheSuspect) {
    return {name, kPassed,
            fmt::format("by the system's own count {} of {} prompt tokens came from a cache", n_cached, n_tokens)};
  }
  return {name, share > kPromptCacheInvalid ? kInvalid : kSuspect,
          fmt::format(
              "{:.0f} % of the prompt tokens came from the system's cache, although the prompts share nothing: golden "
              "prompts are sent again, and a run with the same seed before sent the same random ones; turn the prefix "
              "cache off, or start the server again, or take random prompts (@256/32) and another --seed",
              100 * share)};
}

CheckRecord check_compiled(std::optional<std::int64_t> n_compiled) {
  if (!n_compiled) return {"compiled", kNotAvailable, "the system does not show its steps"};
  if (*n_compiled == 0) return {"compiled", kPassed, "all steps were compiled before"};
  return {"compiled", kInvalid,
          counted(*n_compiled, "step was compiled while requests waited for it",
                  "steps were compiled while requests waited for them")};
}

}  // namespace secondsource
