#include "brief/timeline.h"

#include <fmt/format.h>

#include "core/calendar.h"
#include "core/counted.h"
#include "core/utf8.h"

namespace secondsource {
namespace {
constexpr std::int64_t kDaysPerWeek = 7;
constexpr std::int64_t kWeeksPerQuarter = 13;
constexpr std::string_view kLastDay = "9999-12-31";  ///< of the days that YYYY-MM-DD can name

/// From the decision to the day on which it is looked at again.
std::int64_t days_of(const OptionSpec& option) {
  const std::int64_t weeks = option.kind == OptionKind::kStay ? 0 : option.migration.weeks();
  return (weeks + kWeeksPerQuarter) * kDaysPerWeek;
}

}  // namespace

Result<std::vector<BriefPhase>> timeline_of(const OptionSpec& option, std::string_view start) {
  if (*days_since_1970(start) + days_of(option) > *days_since_1970(kLastDay)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("option {}: its timeline takes {} days from {} on: expected that it ends by {}; give an "
                             "earlier --date",
                             in_quotes(option.name), days_of(option), start, kLastDay)};
  }
  std::vector<BriefPhase> phases;
  std::string day(start);
  const auto add = [&](std::string name, std::int64_t weeks, std::string what) {
    if (weeks <= 0) return;
    const std::string next = add_days(day, weeks * kDaysPerWeek);
    phases.push_back({std::move(name), day, add_days(next, -1), std::move(what)});
    day = next;
  };
  if (option.kind != OptionKind::kStay) {
    const Migration& migration = option.migration;
    add("Certify", migration.certify_weeks,
        "rent one of each, run the harness on it, prove the tokens, replace quoted and projected figures by measured "
        "ones");
    add("Migrate", migration.work_weeks(),
        fmt::format("{:g} person-days by {}", migration.person_days, counted(migration.people, "person", "people")));
    add("Ramp", migration.ramp_weeks, "move the load step by step, each step held against the SLO");
  }
  phases.push_back({"Look again", add_days(day, kWeeksPerQuarter * kDaysPerWeek), "",
                    phases.empty() ? "new prices and new runs, a quarter from now"
                                   : "new prices and new runs, a quarter after the load has moved"});
  return phases;
}

}  // namespace secondsource
