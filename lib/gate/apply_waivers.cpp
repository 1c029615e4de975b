#include "gate/apply_waivers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

std::string about(const Waiver& waiver, const GateVerdict& verdict) {
  return fmt::format("waiver {}: {} {}", waiver.id, verdict.cell.id(), verdict.metric);
}

/// The size of a regression as it is printed, to a tenth of a percent, so that a decision agrees with its message.
double as_printed(double percent) {
  double value = percent;
  (void)read_number(fmt::format("{:.1f}", percent), value);
  return value;
}

/// True if the gate has a verdict on a backend that the scope names.
bool is_backend_judged(const WaiverScope& scope, const GateReport& report) {
  const WaiverScope backend_only{.backend = scope.backend};
  return std::ranges::any_of(
      report.verdicts, [&](const GateVerdict& verdict) { return matches(backend_only, verdict.cell, verdict.metric); });
}

}  // namespace

void apply_waivers(std::span<const Waiver> waivers, std::string_view today, GateReport& report) {
  std::set<std::string> matched;
  for (GateVerdict& verdict : report.verdicts) {
    const Waiver* only = nullptr;
    bool is_ambiguous = false;
    for (const Waiver& waiver : waivers) {
      if (!matches(waiver.scope, verdict.cell, verdict.metric)) continue;
      matched.insert(waiver.id);
      if (only != nullptr) {
        report.waiver_errors.push_back(fmt::format("{}: waiver {} covers it too", about(waiver, verdict), only->id));
        is_ambiguous = true;
      }
      only = &waiver;
    }
    const bool may_cover = only != nullptr && !is_ambiguous && !fault_on(*only, today);
    if (!may_cover || verdict.decision != Decision::kRegressed) continue;
    const double change = *verdict.change_percent;
    if (std::min(change, as_printed(change)) <= only->ceiling_percent) {
      verdict.waived_by = only->id;
    } else if (verdict.decides) {
      report.waiver_errors.push_back(fmt::format("{}: {:+.1f} % exceeds its ceiling of {:g} %", about(*only, verdict),
                                                 change, only->ceiling_percent));
    }
  }
  for (const Waiver& waiver : waivers) {
    if (const auto fault = fault_on(waiver, today)) report.waiver_errors.push_back(*fault);
    if (matched.contains(waiver.id)) continue;
    // One file serves jobs on different machines: a waiver for CUDA matches nothing in a job that ran on a CPU.
    if (is_backend_judged(waiver.scope, report)) {
      report.waiver_errors.push_back(fmt::format("waiver {}: matches no compared cell", waiver.id));
    } else {
      const std::string of_backend =
          waiver.scope.backend.empty() ? "" : fmt::format(" of its backend {}", in_quotes(waiver.scope.backend));
      report.waiver_notes.push_back(fmt::format("waiver {}: no cell{} was judged", waiver.id, of_backend));
    }
  }
}

}  // namespace secondsource
