#include "measure/limit_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "record/roofline.h"

namespace secondsource {
namespace {

using enum CheckOutcome;

}  // namespace

CheckRecord check_roofline(const Repetition& repetition, const MachineLimits* limits, std::string_view variant) {
  if (limits == nullptr) return {"roofline", kNotAvailable, "the limits of this device were not measured"};
  const StepWork all = all_steps(repetition);
  const std::pair<const char*, const StepWork*> kinds[] = {
      {"prefill", &repetition.prefill}, {"decode", &repetition.decode}, {"all steps", &all}};
  double highest = 0;
  std::string figures;
  for (const auto& [name, work] : kinds) {
    const RooflineUse use = roofline_use(*work, *limits, variant);
    for (const auto& [share, of] :
         {std::pair(use.read, "the read rate"), std::pair(use.operations, "the operations/s")}) {
      if (!share || *share <= highest) continue;
      highest = *share;
      figures = fmt::format("{} at {:.0f} % of {} that this machine has at best", name, 100 * *share, of);
    }
  }
  if (figures.empty()) return {"roofline", kNotAvailable, "the system does not tell what its steps do"};
  if (highest <= 1 + kRooflineTolerance) return {"roofline", kPassed, figures};
  if (limits->disturbed <= kLimitsDisturbed) return {"roofline", kInvalid, figures};
  return {"roofline", kSuspect,
          figures + fmt::format("; but others had the CPUs for {:.0f} % of the time while that was measured",
                                100 * limits->disturbed)};
}

CheckRecord check_machine(const MachineMoment& moment, const MachineLimits& limits) {
  const std::optional<double> best_read = read_limit(limits, static_cast<double>(MachineProbe::kBufferBytes));
  if (!best_read || !(limits.f32_flops > 0)) {
    return {"machine", kNotAvailable, "the limits of this machine were not measured"};
  }
  const double read = moment.read_bytes_per_s / *best_read;
  const double operations = moment.f32_flops / limits.f32_flops;
  return {"machine", read < kMachineRead || operations < kMachineOperations ? kSuspect : kPassed,
          fmt::format("right after it the machine read at {:.0f} % and computed at {:.0f} % of its best", 100 * read,
                      100 * operations)};
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
