// The expected values are from tests/brief/recompute.py, a separate program that goes through hours, months and options
// by the formulas of docs/cost.md, on the inputs of brief_inputs.h.

#include "brief/option_cost.h"

#include "brief_inputs.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

struct Costed {
  BriefInputs inputs{};
  std::vector<Sku> skus{};

  explicit Costed(const std::string& demand) : inputs(hand_made_inputs(demand)) {
    auto resolved = resolve_skus(inputs.demand, inputs.runs, inputs.quoted, inputs.prices);
    REQUIRE_OK(resolved);
    skus = std::move(resolved).value();
  }
  [[nodiscard]] OptionCosts costs() const { return {inputs.demand, skus, inputs.date}; }
  [[nodiscard]] const OptionSpec& option(std::size_t i) const { return inputs.demand.options.at(i); }
};

}  // namespace

TEST_CASE("what staying, shifting a quarter and changing all cost over one and three years") {
  const Costed costed(kDemand);
  const OptionCosts costs = costed.costs();
  CHECK(costs.total_usd(costed.option(0), 1).value == Approx(28324.0));
  CHECK(costs.total_usd(costed.option(0), 3).value == Approx(99572.0));
  CHECK(costs.total_usd(costed.option(1), 1).value == Approx(87608.0));
  CHECK(costs.total_usd(costed.option(1), 3).value == Approx(177106.0));
  CHECK(costs.total_usd(costed.option(2), 3).value == Approx(68620.0));
  CHECK(costs.saving(costed.option(1), costed.option(0), 3).percent.value == Approx(-77.86727192383401));
  CHECK(costs.saving(costed.option(2), costed.option(0), 3).percent.value == Approx(31.08504398826979));

  const OptionCost stay = costs.over_years(costed.option(0), 3, assume_as_known(costed.skus));
  CHECK(stay.output_tokens == Approx(33632966809.06543));
  REQUIRE(stay.parts.size() == 1);
  CHECK(stay.parts[0].cost.peak_instances == 4);
  CHECK(stay.parts[0].cost.idle_share == Approx(0.4595594454816146));
  const OptionCost shift = costs.over_years(costed.option(1), 3, assume_as_known(costed.skus));
  REQUIRE(shift.parts.size() == 3);
  // Two weeks of certification, four of migration and half of the four-week ramp: 56 days on today's machines.
  CHECK(shift.parts[0].role == PartRole::kUntilMoved);
  CHECK(shift.parts[0].cost.usd == Approx(3225.6));
  CHECK(shift.parts[0].cost.output_tokens == Approx(910067183.3619978));
  CHECK(shift.parts[1].cost.usd == Approx(82476.4));
  CHECK(shift.parts[2].cost.usd == Approx(37404.0));
  CHECK(shift.output_tokens == Approx(33632966809.06543));
  CHECK(shift.migration_usd == 54000);
}

TEST_CASE("a quoted speed has no interval, and then neither has any cost with it in") {
  const Costed costed(kDemand);
  CHECK_FALSE(costed.costs().total_usd(costed.option(0), 3).is_bounded());
  CHECK_FALSE(costed.costs().saving(costed.option(1), costed.option(0), 3).percent.is_bounded());
}

TEST_CASE("the measured intervals go through to the total, and to the saving by all combinations") {
  Costed costed(kDemand);
  costed.skus[0].at_slo.tok_per_s = Interval{.value = 400, .low = 384, .high = 416};
  costed.skus[0].full_load.tok_per_s = Interval{.value = 500, .low = 480, .high = 520};
  costed.skus[1].at_slo.tok_per_s = Interval{.value = 320, .low = 300, .high = 340};
  costed.skus[1].full_load.tok_per_s = Interval{.value = 420, .low = 410, .high = 430};
  const OptionCosts costs = costed.costs();
  const Interval stay = costs.total_usd(costed.option(0), 3);
  CHECK(stay.value == Approx(99572.0));
  CHECK(*stay.low == Approx(97382.0));
  CHECK(*stay.high == Approx(102492.0));
  const Saving all = costs.saving(costed.option(2), costed.option(0), 3);
  CHECK(*all.percent.low == Approx(26.724137931034488));
  CHECK(*all.percent.high == Approx(33.938746438746435));
  // Each SKU serves half of the load, so that the speed of the old one changes both sides of the comparison.
  OptionSpec half = costed.option(2);
  half.interactive = half.batch = {{"old", 50}, {"new", 50}};
  const Saving shared = costs.saving(half, costed.option(0), 3);
  CHECK(shared.percent.value == Approx(-22.360703812316718));
  CHECK(*shared.percent.low == Approx(-26.236881559220393));
  CHECK(*shared.percent.high == Approx(-19.141737891737897));
}

TEST_CASE("the price at which an option pays, and none where nothing would") {
  const Costed costed(kDemand);
  CHECK_FALSE(costed.costs().break_even_usd_per_hour(costed.option(1), costed.option(0), 1, 3));
  OptionSpec without_migration = costed.option(1);
  without_migration.migration = {};
  const auto price = costed.costs().break_even_usd_per_hour(without_migration, costed.option(0), 1, 3);
  REQUIRE(price);
  CHECK(*price == Approx(0.5277777777777778));
  // At the break-even price, both options cost the same.
  Assumed assumed = assume_as_known(costed.skus);
  assumed.usd_per_hour[1] = *price;
  CHECK(costed.costs().over_years(without_migration, 3, assumed).total_usd() == Approx(99572.0));
}

TEST_CASE("batch work can go elsewhere, and a fallback waits, around the clock or for some hours a year") {
  const Costed costed(kDemand +
                      "  - {kind: move-batch, to: new}\n"
                      "  - {kind: fallback, sku: cpu, percent: 10}\n"
                      "  - {kind: fallback, name: rented, sku: cpu, percent: 10, hours_per_year: 72}\n"
                      "outage: {hours_per_year: 10, usd_per_hour: 1000}\n");
  const OptionCosts costs = costed.costs();
  const Assumed assumed = assume_as_known(costed.skus);
  CHECK(costs.over_years(costed.option(3), 3, assumed).machines_usd == Approx(131866.0));
  const OptionCost fallback = costs.over_years(costed.option(4), 3, assumed);
  CHECK(fallback.machines_usd == Approx(109546.4));
  CHECK(fallback.parts.back().role == PartRole::kFallback);
  // 10 hours of outage per year at 1000 USD for three years; once it is installed, the fallback carries a tenth of the load.
  CHECK(fallback.outage_usd == Approx(27153.42465753425));
  CHECK(costs.over_years(costed.option(0), 3, assumed).outage_usd == Approx(30000));
  CHECK(costs.over_years(costed.option(5), 3, assumed).machines_usd == Approx(99653.98136986302));
  // The fallback serves no requests in normal operation and therefore adds no tokens.
  CHECK(fallback.output_tokens == Approx(33632966809.06543));
}

TEST_CASE("a fallback of committed machines is paid and ready around the clock, whatever its hours") {
  const std::string demand = kDemand +
                             "  - {kind: fallback, sku: cpu, percent: 10}\n"
                             "  - {kind: fallback, name: rented, sku: cpu, percent: 10, hours_per_year: 5}\n"
                             "outage: {hours_per_year: 10, usd_per_hour: 1000}\n";
  Costed costed(demand);
  const auto cost_of = [&](std::size_t option) {
    return costed.costs().over_years(costed.option(option), 3, assume_as_known(costed.skus));
  };
  // Rented for 5 of the 10 hours, it carries a tenth of the load for so long, from day 56 of 1095 on:
  // 30000 - 10 % x 5 h x 1000 USD x 1039/365 years.
  CHECK(cost_of(4).outage_usd == Approx(30000 - 500 * 1039.0 / 365));
  CHECK(cost_of(4).machines_usd - 99572 == Approx((cost_of(3).machines_usd - 99572) * 5 / 8760));
  costed.skus[2].price.commitment = Commitment::kThreeYears;
  CHECK(cost_of(4).machines_usd == Approx(109546.4));  // as in the test above, around the clock
  CHECK(cost_of(4).outage_usd == Approx(27153.42465753425));
  CHECK(cost_of(3).machines_usd == Approx(109546.4));
  // It is sized for interactive work. Where there is none, it has no machines and carries nothing.
  Costed batch_only(with(demand, "batch_percent: 20", "batch_percent: 100"));
  const OptionCost idle = batch_only.costs().over_years(batch_only.option(3), 3, assume_as_known(batch_only.skus));
  CHECK(idle.parts.back().cost.usd == 0);
  CHECK(idle.outage_usd == Approx(30000));
}

TEST_CASE("the outage of one of two equal vendors is that of the dearer one, whatever they are called") {
  const auto [old_vendor, new_vendor] = GENERATE(table<const char*, const char*>({{"A", "Z"}, {"Z", "A"}}));
  CAPTURE(old_vendor, new_vendor);
  Costed costed(kDemand + "outage: {hours_per_year: 10, usd_per_hour: 1000}\n");
  costed.skus[0].spec.vendor = old_vendor;
  costed.skus[1].spec.vendor = new_vendor;
  OptionSpec half = costed.option(2);
  half.interactive = half.batch = {{"old", 50}, {"new", 50}};
  half.fallback = Fallback{.sku = "new", .percent = 50, .hours_per_year = std::nullopt};
  // The fallback covers an outage of the old one's vendor. One of its own vendor costs half of the users:
  // 50 % x 10 h x 1000 USD x 3 years.
  CHECK(costed.costs().over_years(half, 3, assume_as_known(costed.skus)).outage_usd == Approx(15000));
}

TEST_CASE("SKUs with the speed of the same cells vary together") {
  // Sixteen times the load, so that the number of machines differs over the interval.
  Costed costed(with(kDemand, "requests_per_day: 160000", "requests_per_day: 2560000"));
  Sku twin = costed.skus[2];
  twin.spec.id = costed.skus[0].spec.id;
  twin.price.usd_per_hour *= 2;
  costed.skus[0] = twin;
  OptionSpec all_on_cpu = costed.option(2);
  all_on_cpu.interactive = all_on_cpu.batch = {{"cpu", 100}};
  const Saving saving = costed.costs().saving(all_on_cpu, costed.option(0), 3);
  REQUIRE(saving.percent.is_bounded());
  CHECK(*costed.costs().total_usd(all_on_cpu, 3).low < 0.98 * *costed.costs().total_usd(all_on_cpu, 3).high);
  // The same machine at half the price saves half, however fast it is.
  CHECK(*saving.percent.low == Approx(50));
  CHECK(*saving.percent.high == Approx(50));
  CHECK(*saving.usd.low < 0.99 * *saving.usd.high);
}

TEST_CASE("an option that is the same as staying saves nothing, whatever the order of the sums") {
  for (int weeks = 1; weeks < 20; ++weeks) {
    CAPTURE(weeks);
    const Costed costed(kDemand);
    OptionSpec same = costed.option(2);
    same.interactive = costed.option(0).interactive;
    same.batch = costed.option(0).batch;
    same.migration.certify_weeks = weeks;
    const Saving saving = costed.costs().saving(same, costed.option(0), 3);
    CHECK(saving.usd.value == 0);
    CHECK(saving.percent.value == 0);
    CHECK(costed.costs().break_even_volume(same, costed.option(0), 3).always == Approx(0.01));
  }
}

TEST_CASE("what is committed or owned today and left by an option is named") {
  Costed costed(kDemand);
  const auto owed = [&](std::size_t option) { return costed.costs().skus_owed_unstated(costed.option(option)); };
  CHECK(owed(2).empty());  // on demand
  costed.skus[0].price.commitment = GENERATE(Commitment::kOneYear, Commitment::kThreeYears, Commitment::kOwn);
  CHECK(owed(0).empty());
  CHECK(owed(1) == std::vector<std::size_t>{0});
  CHECK(owed(2) == std::vector<std::size_t>{0});
  costed.skus[0].spec.committed = {.machines = 1, .until = "2027-01-01"};
  CHECK(owed(2).empty());  // the demand says until when
}

TEST_CASE("committed machines are paid to their last day, those that the load does not need as a part of their own") {
  Costed costed(kDemand);
  costed.skus[0].price.commitment = Commitment::kThreeYears;
  // Six machines are committed for 500 days from 2026-11-20 on, which costs 28800 USD a machine at 2.40 USD an hour.
  costed.skus[0].spec.committed = {.machines = 6, .until = "2028-04-02"};
  const Assumed assumed = assume_as_known(costed.skus);
  const auto owed_of = [&](std::size_t option, std::int64_t years) {
    const OptionCost cost = costed.costs().over_years(costed.option(option), years, assumed);
    double usd = cost.migration_usd;
    for (const OptionPart& part : cost.parts) usd += part.cost.usd;
    CHECK(cost.total_usd() == Approx(usd));
    return cost.parts.back();
  };
  // Nothing is left on them, without a migration, so that all six are owed for all of the 500 days.
  const OptionPart all = owed_of(2, 3);
  CHECK(all.sku == 0);
  CHECK(all.role == PartRole::kOwed);
  CHECK(all.cost.usd == Approx(6 * 28800));
  CHECK(all.cost.peak_instances == 6);
  CHECK(owed_of(2, 1).cost.usd == Approx(6 * 365 * 24 * 2.40));
  // Staying needs one of them for two months of 365/12 days, and then two.
  const OptionPart stay = owed_of(0, 3);
  CHECK(stay.role == PartRole::kOwed);
  CHECK(stay.cost.usd == Approx((2 * 5 + (500 / (365.0 / 12) - 2) * 4) * 365 / 12 * 24 * 2.40));
  CHECK(stay.cost.idle_share == 1);
  // A quarter is shifted after 56 days. The rest needs one for ten months, and then two.
  CHECK(owed_of(1, 3).cost.usd == Approx((10 * 5 + (500 / (365.0 / 12) - 10) * 4) * 365 / 12 * 24 * 2.40));
  // The saving counts what both sides owe, so that it is that without commitment, less what only the option owes.
  const Saving with = costed.costs().saving(costed.option(2), costed.option(0), 3);
  costed.skus[0].spec.committed.reset();
  const Saving without = costed.costs().saving(costed.option(2), costed.option(0), 3);
  CHECK(with.usd.value == Approx(without.usd.value - (all.cost.usd - stay.cost.usd)));
}

TEST_CASE("committed machines that serve nothing cost the same in every option, and leave intervals as they are") {
  Costed costed(kDemand);
  for (Sku& sku : costed.skus) {
    for (Speed* speed : {&sku.at_slo, &sku.full_load})
      speed->tok_per_s = Interval{.value = 400, .low = 390, .high = 410};
  }
  const Saving before = costed.costs().saving(costed.option(2), costed.option(0), 3);
  costed.skus[2].price.commitment = Commitment::kOwn;
  costed.skus[2].spec.committed = {.machines = 2, .until = "2027-11-21"};
  const Saving after = costed.costs().saving(costed.option(2), costed.option(0), 3);
  CHECK(after.usd.value == Approx(before.usd.value));
  REQUIRE(after.usd.is_bounded());
  CHECK(*after.usd.low == Approx(*before.usd.low));
  CHECK(*after.usd.high == Approx(*before.usd.high));
  // In percent the same saving is a smaller share of what is paid.
  CHECK(after.percent.value < before.percent.value);
}

TEST_CASE("an option without a speed that it needs is not costed, and says which") {
  const Costed costed(with(kDemand, "slo: {ttft_ms: 500", "slo: {ttft_ms: 400"));
  const std::string why = costed.costs().why_not(costed.option(0));
  CHECK(why.find("old: no speed at the SLO") != std::string::npos);
  CHECK(why.find("do not cover yours") != std::string::npos);
}

TEST_CASE("a variant outside the limits of its quality is no option, but what serves today is still costed") {
  Costed costed(kDemand);
  costed.skus[1].outside_limits = "mean KL 0.07, at most 0.05 allowed";
  CHECK(costed.costs().why_not(costed.option(2)).find("new: no option: ") == 0);
  CHECK(costed.costs().why_not(costed.option(0)).empty());
  costed.skus[0].outside_limits = costed.skus[1].outside_limits;
  CHECK(costed.costs().why_not(costed.option(0)).empty());
}

TEST_CASE("what a second vendor serves goes on in an outage of the first") {
  const std::string outage = "outage: {hours_per_year: 10, usd_per_hour: 1000}\n";
  const auto outage_usd = [](const Costed& costed, std::size_t option) {
    return costed.costs().over_years(costed.option(option), 3, assume_as_known(costed.skus)).outage_usd;
  };
  // A quarter of the load is on the other vendor's machines from day 56 of 1095 on.
  CHECK(outage_usd(Costed(kDemand + outage), 1) == Approx(22883.561643835616));
  CHECK(outage_usd(Costed(kDemand + outage), 2) == Approx(30000));  // all of it on the other vendor
  // An outage takes out all machines of a vendor: neither its other machines nor a fallback on them reduce the loss.
  CHECK(outage_usd(Costed(with(kDemand, "vendor: B", "vendor: A") + outage), 1) == Approx(30000));
  const std::string on_itself = "  - {kind: fallback, name: on itself, sku: old, percent: 10}\n";
  CHECK(outage_usd(Costed(kDemand + on_itself + outage), 3) == Approx(30000));
  const std::string fallback = "  - {kind: fallback, sku: cpu, percent: 10}\n";
  CHECK(outage_usd(Costed(kDemand + fallback + outage), 3) == Approx(27153.42465753425));
  CHECK(outage_usd(Costed(with(kDemand, "vendor: C", "vendor: A") + fallback + outage), 3) == Approx(30000));
}

TEST_CASE("an option that needs no time counts from the first day, and so does one beside a stay without cost") {
  Costed costed(kDemand);
  const OptionCost all = costed.costs().over_years(costed.option(2), 3, assume_as_known(costed.skus));
  CHECK(all.parts.size() == 1);
  costed.skus[0].at_slo.tok_per_s.reset();
  const OptionSpec move{.kind = OptionKind::kOwn,
                        .interactive = {{"new", 100}},
                        .batch = {{"new", 100}},
                        .migration = costed.option(1).migration};
  const OptionCost beside = costed.costs().over_years(move, 3, assume_as_known(costed.skus));
  REQUIRE(beside.parts.size() == 1);
  CHECK(beside.parts[0].role == PartRole::kServes);
}
