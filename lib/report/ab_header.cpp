#include "report/ab_header.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "ab/sittings.h"
#include "core/counted.h"
#include "core/enum_format.h"
#include "gate/metric.h"

namespace secondsource {

namespace {

std::string arm_line(const ArmRecord& arm) {
  if (arm.is_system()) {
    return fmt::format("{}: {} ({}), measured by {} ({:.12})", arm.name, arm.system, arm.kind, arm.program,
                       arm.program_sha256);
  }
  return fmt::format("{}: {} ({}{:.12}){}{}{}{}", arm.name, arm.program,
                     arm.revision.empty() ? "" : fmt::format("revision {:.12}, ", arm.revision), arm.program_sha256,
                     arm.arguments.empty() ? "" : ", with ", fmt::join(arm.arguments, " "),
                     arm.modules.empty() ? "" : ", modules of ", arm.modules);
}

/// "tokens: base passed (forced), candidate passed (forced)".
std::string tokens_line(const AbRecord& record) {
  std::vector<std::string> verdicts;
  for (const AbGolden& one : record.golden) {
    verdicts.push_back(fmt::format("{} {}{}", one.arm, one.verdict, one.level ? fmt::format(" ({})", *one.level) : ""));
  }
  return fmt::format("tokens: {}", fmt::join(verdicts, ", "));
}

/// What differs between two systems, which is what is compared.
std::vector<std::string> compared_lines(const AbRecord& record) {
  std::vector<std::string> text;
  if (!record.is_of_systems()) return text;
  for (const std::string& difference : record.compared) text.push_back("compared: " + difference);
  if (text.empty()) text.emplace_back("compared: the two sides report no difference");
  return text;
}

}  // namespace

std::vector<std::string> ab_header(const AbRecord& record, std::span<const ProcessLine> lines) {
  std::vector<std::string> text;
  for (const ArmRecord* arm : {&record.base, &record.candidate}) text.push_back(arm_line(*arm));
  for (std::string& line : compared_lines(record)) text.push_back(std::move(line));
  const std::string speed = record.timed_bundle.empty()
                                ? "nothing was timed"
                                : fmt::format("speed on {} ({:.12})", record.timed_bundle, record.timed_bundle_sha256);
  text.push_back(fmt::format("tokens judged on {} ({:.12}), suite {}; {}", record.golden_bundle,
                             record.golden_bundle_sha256, record.suite, speed));
  if (record.is_of_systems()) text.push_back(tokens_line(record));
  for (std::string& line : sittings_lines(record, lines)) text.push_back(std::move(line));
  double busiest = 0;
  for (const ProcessLine& line : lines) busiest = std::max(busiest, line.others_cpu_share.value_or(0));
  text.push_back(fmt::format(
      "comparison {} of {}, seed {}, looks at {} pairs, {}{}", record.ab_id, record.started_utc, record.seed,
      fmt::join(record.looks, ", "), counted(lines.size(), "process", "processes"),
      busiest > kQuietTimeLost ? fmt::format("; other processes took up to {:.0f} % of the CPUs", 100 * busiest) : ""));
  return text;
}

}  // namespace secondsource
