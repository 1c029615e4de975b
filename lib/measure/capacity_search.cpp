#include "measure/capacity_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "record/ranges.h"

namespace secondsource {

std::optional<CapacitySearch::Attempt> CapacitySearch::next() const {
  if (held_ || !why_never_.empty()) return std::nullopt;
  if (!saturation_) {
    const std::int32_t three_waves = 3 * options_.in_flight;
    return Attempt{ProbePhase::kSaturation, 0,
                   options_.n_requests > 0 ? std::min(options_.n_requests, three_waves) : three_waves};
  }
  if (!to_hold_ && !is_search_over()) {
    const double rate = *next_rate();
    return Attempt{ProbePhase::kSearch, rate, n_requests_at(rate, 1)};
  }
  if (!kept_ || is_hold_over()) return std::nullopt;
  const double rate = to_hold_.value_or(*kept_);
  return Attempt{ProbePhase::kHold, rate, n_requests_at(rate, options_.hold_factor)};
}

void CapacitySearch::tell(const RateProbe& probe) {
  switch (probe.phase) {
    case ProbePhase::kSaturation:
      if (probe.verdict != ProbeVerdict::kSaturated || !(probe.rate_per_s > 0)) {
        why_never_ = "no rate was tried, because in a full system " + probe.why;
      } else {
        saturation_ = probe.rate_per_s;
      }
      return;
    case ProbePhase::kSearch:
      tell_search(probe);
      return;
    case ProbePhase::kHold:
      if (probe.verdict == ProbeVerdict::kKept) {
        held_ = probe.rate_per_s;
      } else {
        ++n_failed_holds_;
        held_.reset();
        last_failed_ = probe.rate_per_s;
        // 1, 1, 2, 2, 3, 3, ... times the resolution: near the answer the steps are small, and far from it few.
        to_hold_ = probe.rate_per_s / std::pow(options_.resolution, (n_failed_holds_ + 1) / 2);
      }
  }
}

void CapacitySearch::tell_search(const RateProbe& probe) {
  search_s_ += probe.wall_s;
  const bool is_never = probe.verdict == ProbeVerdict::kNever;
  if (is_never && was_never_ && doubtful_ == probe.rate_per_s) {
    why_never_ = fmt::format("no rate keeps the SLO: at {:.3g} requests/s, {}", probe.rate_per_s, probe.why);
  } else if (probe.verdict == ProbeVerdict::kKept) {
    kept_ = std::max(probe.rate_per_s, kept_.value_or(0));
    doubtful_.reset();
    ++n_steps_;
  } else if (doubtful_ != probe.rate_per_s) {
    doubtful_ = probe.rate_per_s;
  } else {
    missed_ = std::min(probe.rate_per_s, missed_.value_or(probe.rate_per_s));
    doubtful_.reset();
    ++n_steps_;
  }
  was_never_ = is_never;
}

std::optional<double> CapacitySearch::next_rate() const {
  if (doubtful_) return doubtful_;
  if (!kept_ && !missed_) return std::min(kFastestRatePerS, options_.first_share * *saturation_);
  if (kept_ && missed_) {
    if (*missed_ < *kept_ * options_.resolution) return std::nullopt;
    return std::sqrt(*kept_ * *missed_);
  }
  if (n_steps_ > options_.most_steps) return std::nullopt;
  const double rate = kept_ ? *kept_ * step() : *missed_ / step();
  const double highest = std::min(kFastestRatePerS, options_.highest_share * *saturation_);
  return rate > highest ? std::nullopt : std::optional(rate);
}

bool CapacitySearch::is_search_over() const {
  const double longest_s = seconds_at(kept_ ? *kept_ : options_.first_share * *saturation_);
  return is_ended_ || search_s_ >= options_.budget_probes * longest_s || !next_rate();
}

bool CapacitySearch::is_hold_over() const {
  return n_failed_holds_ >= (is_ended_ ? 1 : options_.most_holds);
}

double CapacitySearch::step() const {
  return std::pow(options_.first_step, n_steps_);
}

double CapacitySearch::seconds_at(double rate) const {
  const double service_s = options_.in_flight / *saturation_;
  return std::max({options_.probe_s, options_.service_times * service_s, options_.fewest_requests / rate});
}

std::int32_t CapacitySearch::n_requests_at(double rate, double factor) const {
  const double wanted = options_.n_requests > 0 ? options_.n_requests : rate * seconds_at(rate);
  return static_cast<std::int32_t>(
      std::clamp<double>(std::ceil(factor * wanted), kRequestsRange.min, kRequestsRange.max));
}

std::string CapacitySearch::state() const {
  if (held_) return fmt::format("{:.3g} requests/s held", *held_);
  if (!why_never_.empty()) return why_never_;
  if (!saturation_) return "nothing was tried";
  if (kept_ && is_hold_over()) {
    return fmt::format(
        "no rate was held for long enough{}: {:.3g} requests/s kept the SLO once, and {:.3g} missed it in the last {}",
        is_ended_ ? " until the time was used up" : "", *kept_, last_failed_,
        is_ended_ ? "longer try" : fmt::format("of {} longer tries", n_failed_holds_));
  }
  if (kept_ && missed_) return fmt::format("between {:.3g} and {:.3g} requests/s", *kept_, *missed_);
  if (kept_) return fmt::format("at least {:.3g} requests/s", *kept_);
  if (missed_) return fmt::format("no rate keeps the SLO: even {:.3g} requests/s do not", *missed_);
  if (doubtful_) return fmt::format("no rate was found in time: {:.3g} requests/s missed the SLO", *doubtful_);
  return fmt::format("the full system completes {:.3g} requests/s", *saturation_);
}

}  // namespace secondsource
