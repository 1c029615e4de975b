#include "brief/figure.h"

#include "brief/brief_text.h"
#include "brief/timeline.h"
#include "support/catch.h"

using namespace secondsource;

TEST_CASE("a figure's mark says all that went into it, and nothing quoted is lost on the way") {
  const Evidence run{.measured = true, .basis = {"run 1"}};
  const Evidence quote{.quoted = true, .basis = {"quoted q"}};
  CHECK(run.mark() == "measured");
  CHECK(quote.mark() == "quoted");
  CHECK(run.as_derived().mark() == "derived from measured");
  CHECK(quote.as_projected().mark() == "projected from quoted");
  const Evidence both = run.combined(quote).as_derived();
  CHECK(both.mark() == "derived from measured and quoted");
  CHECK(both.as_projected().mark() == "projected from measured and quoted");
  CHECK(both.combined(run).basis == std::vector<std::string>{"run 1", "quoted q"});
  // The mark "quoted" survives every combination with other figures.
  CHECK(run.combined(run.combined(quote.as_derived())).mark() == "derived from measured and quoted");
}

TEST_CASE("figures have six digits, so that another machine's arithmetic makes the same brief") {
  const Figure figure = Figure::of({.value = 1.0 / 3, .low = 0.1234567891, .high = 98765432.1}, "USD", {});
  CHECK(figure.value == 0.333333);
  CHECK(figure.low == 0.123457);
  CHECK(figure.high == 98765400.0);
}

TEST_CASE("numbers are written for people") {
  const auto [usd, text] = GENERATE(table<double, const char*>({{1.2345e9, "$1.23 billion"},
                                                                {2431999, "$2.43 million"},
                                                                {999999, "$1,000,000"},
                                                                {12345, "$12,300"},
                                                                {123.4, "$123"},
                                                                {6.875, "$6.88"},
                                                                {0.5, "$0.500"},
                                                                {0.000212345, "$0.000212"},
                                                                {2.15e-6, "$0.00000215"},
                                                                {-54321, "-$54,300"},
                                                                {0, "$0"}}));
  CHECK(format_usd(usd) == text);
  CHECK(format_percent(31.085) == "31 %");
  CHECK(format_percent(-3.44) == "-3.4 %");
  CHECK(format_percent(0.254) == "0.25 %");
  CHECK(format_percent(0) == "0 %");
  CHECK(format_percent(-0.0) == "0 %");
  CHECK(format_percent(-1e-13) == "0 %");
  CHECK(format_usd(-1e-15) == "$0.000000000000");
  CHECK(format_number(-0.0) == "0");
  CHECK(format_number(30550.5) == "30,600");
  CHECK(format_number(2) == "2");
  CHECK(format_number(2.5) == "2.50");
  CHECK(format_figure(Figure::of({.value = 2, .low = 1, .high = 3}, "USD/h", {})) ==
        "$2.00 an hour ($1.00 an hour to $3.00 an hour)");
  CHECK(format_figure(Figure::of({.value = 2000, .low = 1000, .high = 3000}, "tok/s", {})) ==
        "2,000 tok/s (1,000 to 3,000)");
  CHECK(format_figure(Figure::absent("ms", "no reading")) == "not available: no reading");
}

TEST_CASE("a timeline certifies, migrates and ramps in whole weeks") {
  const OptionSpec option{
      .kind = OptionKind::kShift,
      .migration = {.person_days = 32, .usd_per_day = 1, .people = 3, .certify_weeks = 2, .ramp_weeks = 4}};
  const auto timeline = timeline_of(option, "2026-11-20");
  REQUIRE_OK(timeline);
  const std::vector<BriefPhase>& phases = *timeline;
  REQUIRE(phases.size() == 4);
  CHECK(phases[0].name == "Certify");
  CHECK(phases[0].from == "2026-11-20");
  CHECK(phases[0].until == "2026-12-03");
  // 32 / 3 = 10.7 working days are three weeks.
  CHECK(phases[1].from == "2026-12-04");
  CHECK(phases[1].until == "2026-12-24");
  CHECK(phases[2].until == "2027-01-21");
  // The review is a quarter after the load has moved, however long that takes.
  CHECK(phases[3].from == "2027-04-23");
  const auto stay = timeline_of({}, "2026-11-20");
  REQUIRE_OK(stay);
  REQUIRE(stay->size() == 1);
  CHECK((*stay)[0].from == "2027-02-19");
}

TEST_CASE("a timeline ends by the last day that has a name, or is refused") {
  const OptionSpec stay{.name = "Stay"};
  const auto longest = timeline_of(stay, "9999-10-01");
  REQUIRE_OK(longest);
  CHECK(longest->back().from == "9999-12-31");
  CHECK_ERROR(
      timeline_of(stay, "9999-10-02"), ErrorCode::kInvalidInput,
      "option \"Stay\": its timeline takes 91 days from 9999-10-02 on: expected that it ends by 9999-12-31; give an "
      "earlier --date");
  OptionSpec long_one{.kind = OptionKind::kShift, .name = "Shift", .migration = {.person_days = 1e6, .people = 1}};
  REQUIRE_OK(timeline_of(long_one, "2026-11-20"));
  CHECK_FALSE(timeline_of(long_one, "6200-01-01"));
}
