#include "measure/rate_verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "measure/request_checks.h"

namespace secondsource {
namespace {

/// True if so few requests cannot show with 95 % confidence that the SLO is kept, even when all of them keep it.
bool is_too_few(std::int64_t n_requests, const Slo& slo) {
  constexpr double kTail = 0.05;
  return std::pow(slo.percent / 100, static_cast<double>(n_requests)) > kTail;
}

}  // namespace

std::int64_t n_needed(const Slo& slo, std::int64_t n_requests) {
  // Round up, but tolerate the error of a percentage as a binary number.
  return static_cast<std::int64_t>(std::ceil(static_cast<double>(n_requests) * slo.percent / 100 - 1e-9));
}

RateVerdict judge_attainment(ProbePhase phase, const Slo& slo, std::span<const RequestSample* const> samples) {
  const SloAttainment share = attainment(samples, slo);
  const std::string counts = fmt::format("{} of {} requests kept the SLO", share.n_kept, share.n_requests);
  if (share.n_kept < n_needed(slo, share.n_requests)) return {ProbeVerdict::kNotKept, counts};
  if (phase == ProbePhase::kHold && share.verdict != SloVerdict::kKept && !is_too_few(share.n_requests, slo)) {
    return {ProbeVerdict::kNotKept, fmt::format("{}, which does not show that {:g} % do", counts, slo.percent)};
  }
  return {ProbeVerdict::kKept, counts};
}

RateVerdict judge_rate(const Scenario& scenario, ProbePhase phase, const Slo& slo,
                       std::span<const RequestSample> samples) {
  std::vector<const RequestSample*> all;
  for (const RequestSample& sample : samples) all.push_back(&sample);
  RateVerdict attained = judge_attainment(phase, slo, all);
  if (attained.verdict == ProbeVerdict::kNotKept && misses_alone(samples, slo)) {
    return {ProbeVerdict::kNever, "a request misses the SLO although nothing else is in flight"};
  }
  for (const CheckRecord& check :
       {check_queue(scenario, samples, phase == ProbePhase::kHold ? kHoldGrowth : kQueueGrowth),
        check_rate(scenario, samples)}) {
    if (check.outcome == CheckOutcome::kInvalid) return {ProbeVerdict::kSaturated, check.detail};
  }
  return attained;
}

bool misses_alone(std::span<const RequestSample> samples, const Slo& slo) {
  std::vector<const RequestSample*> answered;
  for (const RequestSample& sample : samples) {
    if (sample.last_token_ns) answered.push_back(&sample);
  }
  std::ranges::sort(answered, {}, &RequestSample::sent_ns);
  bool any = false;
  std::int64_t busy_until_ns = std::numeric_limits<std::int64_t>::min();
  for (std::size_t index = 0; index < answered.size(); ++index) {
    const RequestSample& request = *answered[index];
    const bool is_alone = busy_until_ns <= request.sent_ns &&
                          (index + 1 == answered.size() || answered[index + 1]->sent_ns >= *request.last_token_ns);
    busy_until_ns = std::max(busy_until_ns, *request.last_token_ns);
    if (!is_alone) continue;
    if (keeps(request, slo)) return false;
    any = true;
  }
  return any;
}

}  // namespace secondsource
