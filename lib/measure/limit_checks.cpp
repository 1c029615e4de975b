#include "measure/limit_checks.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>
#include <tuple>

#include "record/roofline.h"

namespace secondsource {
namespace {

using enum CheckOutcome;

/// A speed as a share of the limit that the best look gave, and of the one that the next best look gave.
struct ShareOfLimit {
  double of_best = 0;
  std::optional<double> of_second;  ///< nullopt if nobody looked twice
  std::string text;
};

/// The largest share among prefill, decode and all steps; nullopt if the system does not tell what its steps do.
std::optional<ShareOfLimit> largest_share(const Repetition& repetition, const LimitLooks& looks,
                                          std::string_view variant) {
  const StepWork all = all_steps(repetition);
  const std::pair<const char*, const StepWork*> kinds[] = {
      {"prefill", &repetition.prefill}, {"decode", &repetition.decode}, {"all steps", &all}};
  std::optional<ShareOfLimit> largest;
  for (const auto& [name, work] : kinds) {
    const RooflineUse best = roofline_use(*work, looks.best, variant);
    const RooflineUse second = roofline_use(*work, looks.second, variant);
    for (const auto& [share, of_second, of] : {std::tuple(best.read, second.read, "the read rate"),
                                               std::tuple(best.operations, second.operations, "the operations/s")}) {
      if (!share || (largest && *share <= largest->of_best)) continue;
      largest = {*share, of_second && std::isfinite(*of_second) ? of_second : std::nullopt,
                 fmt::format("{} at {:.0f} % of {} that this machine has at best", name, 100 * *share, of)};
    }
  }
  return largest;
}

}  // namespace

CheckRecord check_roofline(const Repetition& repetition, const LimitLooks* looks, std::string_view variant) {
  if (looks == nullptr) return {"roofline", kNotAvailable, "the limits of this device were not measured"};
  const std::optional<ShareOfLimit> share = largest_share(repetition, *looks, variant);
  if (!share) return {"roofline", kNotAvailable, "the system does not report the work in its steps"};
  if (share->of_best <= 1 + kRooflineTolerance) return {"roofline", kPassed, share->text};
  if (!share->of_second) {
    return {"roofline", kSuspect, share->text + "; but that limit was measured only once"};
  }
  const double difference = *share->of_second / share->of_best - 1;
  if (difference > kRooflineTolerance) {
    return {"roofline", kSuspect,
            share->text + fmt::format("; but the two best looks at that limit differ by {:.0f} %", 100 * difference)};
  }
  if (looks->best.disturbed > kLimitsDisturbed) {
    return {"roofline", kSuspect,
            share->text + fmt::format("; but other processes used the CPUs for {:.0f} % of the time while that "
                                      "limit was measured",
                                      100 * looks->best.disturbed)};
  }
  return {"roofline", kInvalid, share->text};
}

CheckRecord check_machine(const MachineMoment& moment, const MachineLimits& limits, const StepWork& steps) {
  const std::optional<double> best_read = read_limit(limits, static_cast<double>(moment.buffer_bytes));
  if (!best_read || !(limits.f32_flops > 0)) {
    return {"machine", kNotAvailable, "the limits of this machine were not measured"};
  }
  const double read = moment.read_bytes_per_s / *best_read;
  const double operations = moment.f32_flops / limits.f32_flops;
  const double bytes = steps.weight_bytes + steps.kv_bytes;
  const bool is_in_caches =
      bytes > 0 && 2 * bytes < static_cast<double>(steps.n_steps) * static_cast<double>(moment.buffer_bytes);
  const bool is_slow = (read < kMachineRead && !is_in_caches) || operations < kMachineOperations;
  return {"machine", is_slow ? kSuspect : kPassed,
          fmt::format("within three seconds of the repetition the machine read at {:.0f} %{} and computed at "
                      "{:.0f} % of its best",
                      100 * read, is_in_caches ? " (from memory, which its steps hardly read)" : "", 100 * operations)};
}

CheckRecord check_harness(const Repetition& repetition, std::int64_t n_requests, const HarnessCost& cost) {
  const auto window_ns = static_cast<double>(repetition.window_end_ns - repetition.window_start_ns);
  if (!(window_ns > 0)) return {"harness", kNotAvailable, "the window is empty"};
  const std::int64_t n_tokens = repetition.window_output_tokens;
  const std::int64_t n_steps = all_steps(repetition).n_steps;
  const double own_ns = static_cast<double>(n_requests) * cost.ns_per_request +
                        static_cast<double>(n_steps > 0 ? n_steps : n_tokens) * cost.ns_per_poll +
                        static_cast<double>(n_tokens) * cost.ns_per_token;
  const double share = own_ns / window_ns;
  return {"harness",
          share > kOverheadInvalid   ? kInvalid
          : share > kOverheadSuspect ? kSuspect
                                     : kPassed,
          fmt::format("the harness itself took {:.3g} % of the time", 100 * share)};
}

}  // namespace secondsource
