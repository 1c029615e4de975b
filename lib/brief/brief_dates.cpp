#include "brief/brief_dates.h"

#include <fmt/format.h>

#include "core/calendar.h"

namespace secondsource {
namespace {

/// Days as text sort like days. `day` may be a month, a quarter or a year, which begins on its first day.
Result<void> expect_not_after(const std::string& what, const std::string& day, const std::string& limit,
                              std::string_view limit_is) {
  if (day == "undated" || first_day_of(day) <= limit) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{} {}: expected no later than {}, {}", what, day, limit, limit_is)};
}

constexpr std::string_view kToday = "the date of the brief (--date)";

Result<void> check_source(const std::string& what, const std::string& date, const std::string& read_on,
                          const std::string& today) {
  SS_TRY_VOID(expect_not_after(what + ": read on", read_on, today, kToday));
  SS_TRY_VOID(expect_not_after(what + ": dated", date, today, kToday));
  return expect_not_after(what + ": dated", date, read_on, "the day on which it was read");
}

}  // namespace

Result<void> check_dates(const BriefInputs& inputs, std::span<const Sku> skus) {
  constexpr std::size_t kDayLength = 10;
  for (const BriefRun& run : inputs.runs) {
    const RunRecord& record = run.stored.record;
    SS_TRY_VOID(expect_not_after(fmt::format("run {}: begun on", record.run_id),
                                 record.started_utc.substr(0, kDayLength), inputs.date, kToday));
  }
  for (const Sku& sku : skus) {
    SS_TRY_VOID(check_source("price " + sku.price.key(), sku.price.date, sku.price.read_on, inputs.date));
    if (sku.spec.committed && sku.spec.committed->until < inputs.date) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("sku {}: committed until {}: expected no earlier than {}, {}; leave `committed` out once "
                      "it has ended",
                      sku.spec.id, sku.spec.committed->until, inputs.date, kToday)};
    }
    if (!sku.spec.quoted) continue;
    for (const QuotedRow& row : inputs.quoted) {
      if (row.id != sku.spec.quoted->full_load && row.id != sku.spec.quoted->slo) continue;
      SS_TRY_VOID(check_source("quoted " + row.id, row.date, row.read_on, inputs.date));
    }
  }
  if (!inputs.demand.api) return {};
  return expect_not_after("api: dated", inputs.demand.api->date, inputs.date, kToday);
}

}  // namespace secondsource
