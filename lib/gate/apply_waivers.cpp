#include "gate/apply_waivers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace secondsource {
namespace {

std::string about(const Waiver& waiver, const GateVerdict& verdict) {
  return fmt::format("waiver {}: {} {}", waiver.id, verdict.cell.id(), verdict.metric);
}

/// True if the gate has a verdict on a backend that the scope names.
bool backend_ran(const WaiverScope& scope, const GateReport& report) {
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
    if (*verdict.change_percent <= only->ceiling_percent) {
      verdict.waived_by = only->id;
    } else if (verdict.decides) {
      report.waiver_errors.push_back(fmt::format("{}: {:+.1f} % exceeds its ceiling of {:g} %", about(*only, verdict),
                                                 *verdict.change_percent, only->ceiling_percent));
    }
  }
  for (const Waiver& waiver : waivers) {
    if (const auto fault = fault_on(waiver, today)) report.waiver_errors.push_back(*fault);
    if (matched.contains(waiver.id)) continue;
    // One file serves jobs on different machines: a waiver for CUDA matches nothing in a job that ran on a CPU.
    if (backend_ran(waiver.scope, report)) {
      report.waiver_errors.push_back(fmt::format("waiver {}: matches no compared cell", waiver.id));
    } else {
      report.waiver_notes.push_back(
          fmt::format("waiver {}: its backend \"{}\" was not compared", waiver.id, waiver.scope.backend));
    }
  }
}

}  // namespace secondsource
