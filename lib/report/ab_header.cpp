#include "report/ab_header.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/enum_format.h"
#include "gate/metric.h"

namespace secondsource {

std::vector<std::string> ab_header(const AbRecord& record, std::span<const ProcessLine> lines) {
  std::vector<std::string> text;
  for (const ArmRecord* arm : {&record.base, &record.candidate}) {
    text.push_back(fmt::format("{}: {} ({}{:.12}){}{}{}{}", arm->name, arm->program,
                               arm->revision.empty() ? "" : fmt::format("revision {:.12}, ", arm->revision),
                               arm->program_sha256, arm->arguments.empty() ? "" : ", with ",
                               fmt::join(arm->arguments, " "), arm->modules.empty() ? "" : ", modules of ",
                               arm->modules));
  }
  text.push_back(fmt::format("tokens judged on {} ({:.12}), suite {}; speed on {} ({:.12})", record.golden_bundle,
                             record.golden_bundle_sha256, record.suite, record.timed_bundle,
                             record.timed_bundle_sha256));
  double busiest = 0;
  for (const ProcessLine& line : lines) busiest = std::max(busiest, line.others_cpu_share.value_or(0));
  text.push_back(fmt::format(
      "comparison {} of {}, seed {}, looks at {} pairs, {} processes{}", record.ab_id, record.started_utc, record.seed,
      fmt::join(record.looks, ", "), lines.size(),
      busiest > kQuietTimeLost ? fmt::format("; other processes took up to {:.0f} % of the CPUs", 100 * busiest) : ""));
  return text;
}

}  // namespace secondsource
