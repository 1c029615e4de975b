#include "brief/build_brief.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "brief/brief_json.h"
#include "brief/brief_text.h"
#include "brief_inputs.h"
#include "core/file.h"
#include "report/brief_document.h"
#include "support/source_path.h"
#include "support/text_parts.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

Brief brief_of(const BriefInputs& inputs) {
  auto brief = build_brief(inputs);
  REQUIRE_OK(brief);
  return std::move(brief).value();
}

/// True if the option has a risk of this level whose text contains `part`.
bool has_risk(const Brief& brief, RiskLevel level, std::string_view part, std::string_view option) {
  return std::any_of(brief.risks.begin(), brief.risks.end(), [&](const BriefRisk& risk) {
    return risk.level == level && contains(risk.text, part) &&
           std::find(risk.options.begin(), risk.options.end(), option) != risk.options.end();
  });
}

}  // namespace

TEST_CASE("the option that saves most is taken, provisionally while its speeds are quoted") {
  const Brief brief = brief_of(hand_made_inputs());
  CHECK(brief.decision.option == "all");
  CHECK(brief.decision.status == DecisionStatus::kProvisional);
  // option_cost_test.cpp has the exact values, 31.085 % and 30952 USD.
  CHECK(brief.decision.line == "all costs 31 % less than staying over 3 years, a saving of $31,000.");
  CHECK(contains(brief.decision.reasons.front(), "quoted speeds are published without one"));
  CHECK(brief.options[0].usd_3_years.value == 99572);
  CHECK(brief.options[0].usd_3_years.mark == "projected from quoted");
  CHECK(brief.options[2].saving_percent_3_years.value == Approx(31.085).epsilon(1e-5));
}

TEST_CASE("below the least saving that the buyer asks for, the buyer stays") {
  const Brief brief = brief_of(hand_made_inputs(kDemand + "risk_limits: {min_saving_percent: 40}\n"));
  CHECK(brief.decision.option == "Stay");
  CHECK(contains(brief.decision.line,
                 "No other option that you asked for is within your limits and sure to save more than 40 %"));
  CHECK(contains(brief.decision.reasons.front(), "The nearest, all, costs 31 % less"));
}

TEST_CASE("the interval in the decision's reason is that of the saving, seen from its side") {
  std::string demand = with(kDemand, "{kind: stay, sku: old}", "{kind: stay, sku: cpu}");
  demand = with(demand, "migration: {person_days: 60",
                "  - {id: dear, description: d, vendor: C, price: p/r/dear, measured: {bundle: m, backend: cpu, "
                "variant: bf16, hardware: same}}\nmigration: {person_days: 60");
  demand = demand.substr(0, demand.find("  - {kind: shift")) +
           "  - {kind: own, name: all, interactive: [{sku: dear, percent: 100}], batch: [{sku: dear, percent: 100}]}\n";
  BriefInputs inputs = hand_made_inputs(demand);
  inputs.prices.push_back(inputs.prices.back());
  inputs.prices.back().instance = "dear";
  inputs.prices.back().usd_per_hour = 0.50;
  const Brief brief = brief_of(inputs);
  const Figure& saving = brief.options[1].saving_percent_3_years;
  REQUIRE(saving.low);
  CHECK(*saving.low < *saving.value);
  CHECK(contains(brief.decision.reasons.front(),
                 fmt::format("The nearest, all, costs {} ({} to {}) more than staying", format_percent(-*saving.value),
                             format_percent(-*saving.high), format_percent(-*saving.low))));
}

TEST_CASE("an option beyond a limit of the buyer is out, and says why") {
  const Brief measured_only = brief_of(hand_made_inputs(kDemand + "risk_limits: {require_measured: true}\n"));
  CHECK(measured_only.decision.status == DecisionStatus::kNoEligibleOption);
  CHECK(contains(measured_only.decision.line, "Of your own options: No option is within your risk limits."));
  CHECK(contains(measured_only.decision.reasons.front(), "Stay is out: old: its speed is quoted, not measured"));
  CHECK(has_risk(measured_only, RiskLevel::kLimit, "its speed is quoted, not measured", "all"));

  const Brief two_suppliers = brief_of(hand_made_inputs(kDemand + "risk_limits: {max_single_vendor_percent: 90}\n"));
  // Only the shift is within the limit. It costs more, but staying is not allowed.
  CHECK(two_suppliers.decision.option == "Shift 25 % to B");
  CHECK(contains(two_suppliers.decision.line, "costs 78 % more than staying"));
  CHECK(has_risk(two_suppliers, RiskLevel::kLimit, "100 % of the load is on one supplier (A); your limit is 90 %",
                 "Stay"));
  CHECK_FALSE(two_suppliers.options[0].is_eligible);
}

namespace {

/// Inputs in which every compared speed is measured: "cpu" serves today, and the option "move" moves all of the load at once
/// to "host2", the same machine at half the price.
BriefInputs measured_inputs(const std::string& more = "") {
  std::string demand = with(kDemand, "{kind: stay, sku: old}", "{kind: stay, sku: cpu}");
  demand = demand.substr(0, demand.find("  - {kind: shift"));
  demand = with(demand, "migration:",
                "  - {id: host2, description: another host, vendor: D, price: p/r/cpu2, measured: {bundle: m, backend: "
                "cpu, variant: bf16, hardware: same}}\nmigration:");
  demand = with(demand, "migration: {person_days: 60", "migration: {person_days: 1");
  BriefInputs inputs = hand_made_inputs(demand + "  - {kind: shift, name: move, to: host2, percent: 100}\n" + more);
  inputs.prices.push_back(inputs.prices[2]);
  inputs.prices.back().instance = "cpu2";
  inputs.prices.back().usd_per_hour = 0.20;
  return inputs;
}

BriefSku sku_of(const Brief& brief, std::string_view id) {
  return *std::find_if(brief.skus.begin(), brief.skus.end(), [&](const BriefSku& row) { return row.id == id; });
}

}  // namespace

TEST_CASE("a measured SKU that the decision uses is bought, a quoted one is not") {
  const Brief brief = brief_of(measured_inputs());
  const auto sku = [&](std::string_view id) { return sku_of(brief, id); };
  CHECK(sku("cpu").verdict == SkuVerdict::kInUse);
  CHECK(sku("new").verdict == SkuVerdict::kNoBuy);
  CHECK(contains(sku("new").reasons.front(), "quoted, not measured"));
  // The alternative has half the price. The saving comes from the corners of both intervals: 1 - 0.5 x dearest /
  // cheapest.
  const BriefSku host2 = sku("host2");
  CHECK(host2.verdict == SkuVerdict::kBuy);
  CHECK(host2.saving_percent.value == Approx(50));
  // The number of machines is an integer, and it is the same at both ends of the speed interval.
  CHECK(host2.saving_percent.low == Approx(50));
  CHECK(host2.saving_percent.high == Approx(50));
  CHECK(host2.saving_percent.mark == "projected from measured");
  // At full load: 0.20 / 4 USD per hour for 100 tokens/s; 50 W / 100 tokens/s; 2 vCPUs x 1e6 / 360000 h.
  const BriefCost& full = host2.costs[0];
  CHECK(full.usd_per_1k_output.value == Approx(0.05 / 360).epsilon(1e-5));
  CHECK(full.usd_per_1k_output.mark == "projected from measured");  // four times what was measured on two vCPUs
  CHECK(full.joules_per_token.value == Approx(0.5));
  CHECK(full.device_hours_per_million.value == Approx(5.55556).epsilon(1e-5));
  CHECK(full.usd_per_1k_output.basis ==
        std::vector<std::string>{"run 0123456789abcdef m/cpu/bf16/offline-b4", "price p/r/cpu2/on-demand"});
  // The option "move" was measured on the very machine that is priced, so the decision is final and has an interval.
  const BriefOption& move = brief.options.back();
  CHECK(move.usd_3_years.low);
  CHECK(brief.decision.option == "move");
  CHECK(brief.decision.status == DecisionStatus::kDecided);
}

TEST_CASE("nothing is decided while anything that is compared is quoted or was measured elsewhere") {
  // The chosen option is measured, but a rejected one that it was compared with has a quoted speed.
  const std::string loses = "  - {kind: shift, name: dear, to: old, percent: 50}\n";
  const Brief beside = brief_of(measured_inputs(loses));
  CHECK(beside.decision.option == "move");
  CHECK(beside.decision.status == DecisionStatus::kProvisional);
  CHECK(contains(beside.decision.reasons.back(), "quoted speeds are compared (old)"));
  CHECK(sku_of(beside, "host2").verdict == SkuVerdict::kNoBuy);
  CHECK(sku_of(beside, "host2").reasons == std::vector<std::string>{"the decision is provisional"});
  CHECK(decision_headline(beside.decision) == "Provisional: " + beside.decision.line);
  // Options that a limit excludes are not compared.
  const Brief without = brief_of(measured_inputs(loses + "risk_limits: {require_measured: true}\n"));
  CHECK(without.decision.status == DecisionStatus::kDecided);
  CHECK(decision_headline(without.decision) == without.decision.line);
  CHECK(sku_of(without, "host2").verdict == SkuVerdict::kBuy);

  BriefInputs elsewhere = measured_inputs();
  elsewhere.demand.skus[3].measured->same_hardware = false;
  const Brief similar = brief_of(elsewhere);
  CHECK(similar.decision.status == DecisionStatus::kProvisional);
  CHECK(contains(similar.decision.reasons.back(), "on another machine than the one that is priced (host2)"));
  CHECK(sku_of(similar, "host2").verdict == SkuVerdict::kNoBuy);
  CHECK(contains(sku_of(similar, "host2").reasons.front(), "measured on another machine"));
}

TEST_CASE("a SKU is bought only as the decision has it and within the limit on spot machines") {
  const auto on_spot = [](const std::string& more) {
    BriefInputs inputs = measured_inputs(more);
    inputs.prices.back().commitment = Commitment::kSpot;
    inputs.demand.skus[3].price = "p/r/cpu2/spot";
    return brief_of(inputs);
  };
  CHECK(sku_of(on_spot(""), "host2").verdict == SkuVerdict::kBuy);
  const Brief limited = on_spot("risk_limits: {max_spot_percent: 40}\n");
  CHECK(sku_of(limited, "host2").verdict == SkuVerdict::kNoBuy);
  CHECK(sku_of(limited, "host2").saving_percent.value == Approx(50));
  CHECK(sku_of(limited, "host2").reasons ==
        std::vector<std::string>{"spot machines, which may serve 40 % of your load at most",
                                 "the decision is Stay, without it"});
  // host2 alone saves half, but no option that uses it recovers the cost of this migration.
  const Brief dear =
      brief_of(measured_inputs("  - {kind: shift, name: little, to: host2, percent: 10, migration: {person_days: "
                               "1000, usd_per_day: 900, people: 1, certify_weeks: 1, ramp_weeks: 1}}\n"
                               "risk_limits: {min_saving_percent: 60}\n"));
  CHECK(dear.decision.option == "Stay");
  CHECK(sku_of(dear, "host2").verdict == SkuVerdict::kNoBuy);
  CHECK(sku_of(dear, "host2").best_option == "move");
}

TEST_CASE("an option that nobody asked for and that saves more is named first, and nothing is decided beside it") {
  BriefInputs inputs = measured_inputs();
  inputs.demand.options.pop_back();  // "move", which puts everything on host2
  const Brief brief = brief_of(inputs);
  CHECK(brief.decision.option == "Stay");
  CHECK(brief.decision.unasked == "All on host2 (not asked for)");
  CHECK(brief.decision.line.starts_with("All on host2 (not asked for) costs "));
  CHECK(contains(brief.decision.line, "less than staying over 3 years"));
  CHECK(contains(brief.decision.line, ". Of your own options: Stay."));
  CHECK(brief.decision.status == DecisionStatus::kProvisional);
  REQUIRE(brief.options.size() == 2);
  CHECK(brief.options[1].kind == OptionKind::kUnasked);
  CHECK(brief.options[1].migration_usd.value == 900);  // the default migration
  // An option that the demand lists is no longer an unasked one, and one that violates a limit is not suggested.
  CHECK(brief_of(measured_inputs()).decision.unasked.empty());
  inputs.demand.limits.max_single_vendor_percent = 90;
  const Brief limited = brief_of(inputs);
  CHECK(limited.decision.unasked.empty());
  CHECK(limited.options.size() == 1);
  for (const BriefRisk& risk : limited.risks) CHECK(risk.options == std::vector<std::string>{"Stay"});
}

TEST_CASE("replicas that are taken to be as fast as the one that was measured are a risk") {
  CHECK(has_risk(brief_of(measured_inputs()), RiskLevel::kWarning,
                 "cpu: it was not measured whether 4 systems of 2 vCPUs side by side on one cpu are each as fast",
                 "Stay"));
}

TEST_CASE("dates that contradict each other are refused, and the age of each price is said") {
  BriefInputs inputs = hand_made_inputs(kDemand + "  - {kind: fallback, name: net, sku: cpu, percent: 10}\n");
  const Brief brief = brief_of(inputs);
  REQUIRE(brief.prices.size() == 3);
  CHECK(brief.prices[0].age_days == 19);  // 2026-11-01 to 2026-11-20
  CHECK(contains(render_markdown(brief_document(brief)), "Prices are 19 days old."));
  const auto refused = [&](const std::string& part) {
    CAPTURE(part);
    CHECK_ERROR(build_brief(inputs), ErrorCode::kInvalidInput, part);
    inputs = hand_made_inputs();
  };
  inputs.date = "2026-11-19";
  refused("run 0123456789abcdef: begun on 2026-11-20: expected no later than 2026-11-19, the date of the brief");
  inputs.prices[0].read_on = "2026-11-21";
  refused("price p/r/old/on-demand: read on 2026-11-21: expected no later than 2026-11-20, the date of the brief");
  inputs.prices[1].date = "2027";
  refused("price p/r/new/on-demand: dated 2027: expected no later than 2026-11-20, the date of the brief");
  inputs.prices[0].read_on = "2026-10-31";
  refused("price p/r/old/on-demand: dated 2026-11-01: expected no later than 2026-10-31, the day on which it was read");
  inputs.quoted[3].date = "2026-12";
  refused("quoted new-server: dated 2026-12: expected no later than 2026-11-20");
  inputs.demand.api = ApiPrice{"an API", 1, 1, "its page", "2026-11-21"};
  refused("api: dated 2026-11-21: expected no later than 2026-11-20");
  // A quarter that has begun is not in the future, and the date of a price that no SKU uses is not checked.
  inputs.quoted[3].date = "2026-Q4";
  inputs.prices.push_back(inputs.prices[0]);
  inputs.prices.back().instance = "unused";
  inputs.prices.back().date = "2027";
  REQUIRE_OK(build_brief(inputs));
}

TEST_CASE("nothing quoted hides in a measured figure: an option of both says so in every cost") {
  const Brief brief = brief_of(hand_made_inputs(kDemand + "  - {kind: fallback, name: net, sku: cpu, percent: 10}\n"));
  const BriefOption& net = brief.options.back();
  for (const Figure* figure : {&net.usd_1_year, &net.usd_3_years, &net.saving_usd, &net.usd_per_1k_output}) {
    CHECK(figure->mark == "projected from measured and quoted");
  }
  CHECK(net.parts.back().usd.mark == "projected from measured");
  CHECK(net.parts.back().role == PartRole::kFallback);
}

TEST_CASE("the data's own warnings become risks of the options that use it") {
  BriefInputs inputs = hand_made_inputs(kDemand + "  - {kind: fallback, name: net, sku: cpu, percent: 10}\n");
  inputs.runs[0].summary.cells[0].others_cpu_share = 0.25;
  inputs.runs[0].summary.cells[1].checks = {{"warm_up", CheckOutcome::kSuspect, "still rising"}};
  inputs.runs[0].summary.failures.push_back({"cpu", "", FailureKind::kCrash, "signal 11"});
  inputs.waivers = {{.id = "W-1",
                     .scope = {.backend = "cpu"},
                     .ceiling_percent = 20,
                     .owner = "o",
                     .reason = "known",
                     .link = "l",
                     .expires = "2026-12-31"}};
  inputs.prices.push_back(inputs.prices[1]);
  inputs.prices.back().commitment = Commitment::kSpot;
  inputs.prices.back().usd_per_hour = 0.50;
  const Brief brief = brief_of(inputs);
  CHECK(has_risk(brief, RiskLevel::kWarning, "other processes took up to 25 % of the CPUs", "net"));
  CHECK_FALSE(has_risk(brief, RiskLevel::kWarning, "other processes took up to 25 % of the CPUs", "Stay"));
  inputs.runs[0].summary.cells[0].checks = {{"foreign_cpu", CheckOutcome::kPassed, "waited 0.1 %"}};
  CHECK_FALSE(has_risk(brief_of(inputs), RiskLevel::kWarning, "other processes took", "net"));
  CHECK(has_risk(brief, RiskLevel::kWarning, "m/cpu/bf16/server-slo-max: suspect (warm_up): still rising", "net"));
  CHECK(has_risk(brief, RiskLevel::kWarning, "cpu crash: signal 11", "net"));
  CHECK(has_risk(brief, RiskLevel::kWarning, "a regression of up to 20 % is waived until 2026-12-31 (W-1: known)",
                 "net"));
  CHECK(has_risk(brief, RiskLevel::kNote, "its speed at the SLO varied: known to ± 6.8 %", "net"));
  CHECK(has_risk(brief, RiskLevel::kWarning, "single supplier: all of the load is on A", "Stay"));
  CHECK(has_risk(brief, RiskLevel::kNote, "old costs 1.5 USD/h on-demand", "all") == false);
  CHECK(has_risk(brief, RiskLevel::kNote, "new costs 1.5 USD/h on-demand, 0.5 spot", "all"));
  // An expired waiver covers nothing.
  inputs.date = "2027-01-01";
  CHECK_FALSE(has_risk(brief_of(inputs), RiskLevel::kWarning, "is waived", "net"));
}

TEST_CASE("limits on uncertainty, memory, spot and the age of prices take options out") {
  const auto [limit, part] = GENERATE(table<const char*, const char*>({
      {"max_speed_uncertainty_percent: 4", "is known to ± 6.8 %; your limit is 4 %"},
      {"min_memory_headroom_percent: 80", "75 % of its memory is free at the peak; your limit is 80 %"},
      {"max_price_age_days: 10", "its price is older than your 10 days: 2026-11-01"},
  }));
  const Brief brief = brief_of(hand_made_inputs(
      kDemand + "  - {kind: fallback, name: net, sku: cpu, percent: 10}\nrisk_limits: {" + limit + "}\n"));
  CHECK(has_risk(brief, RiskLevel::kLimit, part, "net"));
  CHECK_FALSE(brief.options.back().is_eligible);

  BriefInputs spot = hand_made_inputs(kDemand + "risk_limits: {max_spot_percent: 50}\n");
  spot.prices[1].commitment = Commitment::kSpot;
  spot.demand.skus[1].price = "p/r/new/spot";
  CHECK(has_risk(brief_of(spot), RiskLevel::kLimit,
                 "100 % of the load is on spot machines, which can be taken away; your limit is 50 %", "all"));
  CHECK(has_risk(brief_of(spot), RiskLevel::kWarning, "25 % of the load is on spot machines", "Shift 25 % to B"));
}

TEST_CASE("a figure beyond a limit never reads as the limit, and a memory that is exceeded says what it would take") {
  const std::string net = "  - {kind: fallback, name: net, sku: cpu, percent: 10}\n";
  BriefInputs inputs = hand_made_inputs(kDemand + net + "risk_limits: {min_memory_headroom_percent: 75}\n");
  CellSummary& cell = inputs.runs[0].summary.cells[0];
  cell.memory->peak_bytes = 2502;  // of 10000
  CHECK(has_risk(brief_of(inputs), RiskLevel::kLimit,
                 "cpu: 74.98 % of its memory is free at the peak; your limit is 75 %", "net"));
  cell.memory->peak_bytes = 30000;
  CHECK(has_risk(brief_of(inputs), RiskLevel::kLimit,
                 "cpu: it needs 300 % of its memory at the peak; your limit is 75 % free", "net"));
  inputs.demand.limits.min_memory_headroom_percent.reset();
  CHECK(has_risk(brief_of(inputs), RiskLevel::kWarning, "cpu: it needs 300 % of its memory at the peak", "net"));
  const std::string shares = "[{sku: old, percent: 80.3}, {sku: new, percent: 19.7}]";
  const Brief shared =
      brief_of(hand_made_inputs(with(with(kDemand, "interactive: [{sku: new, percent: 100}]", "interactive: " + shares),
                                     "batch: [{sku: new, percent: 100}]", "batch: " + shares) +
                                "risk_limits: {max_single_vendor_percent: 80}\n"));
  CHECK(has_risk(shared, RiskLevel::kLimit, "80.3 % of the load is on one supplier (A); your limit is 80 %", "all"));
}

TEST_CASE(
    "what is still owed for machines that an option leaves is a warning, and so are the hours that do not count") {
  BriefInputs inputs =
      hand_made_inputs(kDemand + "  - {kind: fallback, name: net, sku: new, percent: 10, hours_per_year: 5}\n");
  const std::string owed = "what is still owed for it once the load has left it is not in the figures";
  const Brief on_demand = brief_of(inputs);
  CHECK_FALSE(has_risk(on_demand, RiskLevel::kWarning, owed, "all"));
  CHECK(contains(on_demand.options.at(3).what, "rented 5 hours a year"));
  for (std::size_t i : {0, 1}) inputs.prices[i].commitment = Commitment::kThreeYears;
  inputs.demand.skus[0].price = "p/r/old/3-years";
  inputs.demand.skus[1].price = "p/r/new/3-years";
  const Brief committed = brief_of(inputs);
  CHECK(has_risk(committed, RiskLevel::kWarning, "old: committed (3-years) today; " + owed, "all"));
  CHECK_FALSE(has_risk(committed, RiskLevel::kWarning, owed, "Stay"));
  CHECK_FALSE(has_risk(committed, RiskLevel::kWarning, owed, "net"));
  CHECK(contains(committed.options.at(3).what, "running around the clock"));
  const std::string assumptions = fmt::format("{}", fmt::join(committed.assumptions, "\n"));
  CHECK(contains(assumptions, "whatever its hours_per_year (new)."));
  CHECK(contains(assumptions, "since the demand does not say until when they are committed (old)."));
}

TEST_CASE("what is owed for committed machines is in the figures, the risks and the assumptions") {
  const std::string demand =
      with(kDemand, "price: p/r/old, ", "price: p/r/old/3-years, committed: {machines: 6, until: 2028-04-02}, ");
  BriefInputs inputs = hand_made_inputs(demand);
  inputs.prices[0].commitment = Commitment::kThreeYears;
  const Brief brief = brief_of(inputs);
  const BriefPart& owed = brief.options.at(2).parts.back();
  CHECK(owed.role == PartRole::kOwed);
  CHECK(owed.sku == "old");
  CHECK(*owed.usd.value == Approx(6 * 500 * 24 * 2.40));
  CHECK(*owed.idle_percent.value == 100);
  CHECK(has_risk(brief, RiskLevel::kWarning, "old: 6 machines are committed until 2028-04-02; the cost includes those",
                 "all"));
  CHECK_FALSE(has_risk(brief, RiskLevel::kWarning, "what is still owed for it", "all"));
  const std::string assumptions = fmt::format("{}", fmt::join(brief.assumptions, "\n"));
  CHECK(contains(assumptions, "whether or not the load needs them: 6 machines of old until 2028-04-02."));
  CHECK_FALSE(contains(assumptions, "buying tokens"));
  // The old machines are no option's choice where they are only owed.
  CHECK(brief.skus.at(0).best_option != "all");
}

TEST_CASE("a commitment with a price by the hour, or one that has ended, is refused") {
  const std::string committed =
      with(kDemand, "price: p/r/old, ", "price: p/r/old, committed: {machines: 6, until: 2026-11-19}, ");
  BriefInputs inputs = hand_made_inputs(committed);
  auto brief = build_brief(inputs);
  REQUIRE_FALSE(brief);
  CHECK(contains(brief.error().message, "sku old: committed: expected a price of committed or owned machines, found"));
  inputs.prices[0].commitment = Commitment::kThreeYears;
  inputs.demand.skus[0].price = "p/r/old/3-years";
  brief = build_brief(inputs);
  REQUIRE_FALSE(brief);
  CHECK(contains(brief.error().message, "sku old: committed until 2026-11-19: expected no earlier than 2026-11-20"));
  inputs.demand.skus[0].committed->until = inputs.date;  // the last day is paid
  REQUIRE_OK(build_brief(inputs));
}

TEST_CASE("a load for more machines than are sold is refused, by the name of the SKU") {
  BriefInputs inputs = hand_made_inputs();
  inputs.demand.requests_per_day = 1e15;
  CHECK_ERROR(build_brief(inputs), ErrorCode::kInvalidInput,
              "demand: the load needs more than 10000000 machines of \"old\" at its peak within three years");
}

TEST_CASE("a price without a date has no age, but a day on which it was read") {
  BriefInputs inputs = hand_made_inputs();
  inputs.prices[0].date = "undated";
  inputs.prices[0].read_on = "2026-11-18";
  const std::string some = render_markdown(brief_document(brief_of(inputs)));
  CHECK(contains(some, "Prices are 19 days old; those whose source gives no date were read 2 days ago."));
  CHECK(contains(some, "| read 2 days ago |"));
  inputs.demand.limits.max_price_age_days = 1;
  CHECK(has_risk(brief_of(inputs), RiskLevel::kLimit,
                 "old: its price was read longer ago than your 1 day: undated, read 2026-11-18", "Stay"));
  inputs.demand.limits.max_price_age_days.reset();
  for (PriceRow& row : inputs.prices) row.date = "undated";
  CHECK(contains(render_markdown(brief_document(brief_of(inputs))),
                 "Prices were read 0 to 2 days ago; their source gives no date."));
}

TEST_CASE("figures of another model are not compared, and a fallback that serves one says so") {
  BriefInputs inputs = hand_made_inputs(
      kDemand + "  - {kind: fallback, name: net, sku: cpu, percent: 10}\nrisk_limits: {require_measured: true}\n");
  inputs.demand.model = "another";
  // The only SKU that serves this model is not measured, so no option is left.
  for (QuotedRow& row : inputs.quoted) {
    if (row.id.starts_with("new-")) row.model = "another";
  }
  const Brief brief = brief_of(inputs);
  CHECK(has_risk(brief, RiskLevel::kLimit, "old serves m, not another", "Stay"));
  CHECK(has_risk(brief, RiskLevel::kWarning, "the fallback serves m instead of another", "net"));
  CHECK(brief.decision.status == DecisionStatus::kNoEligibleOption);
}

TEST_CASE("a model that no SKU serves is refused, with the models that are known") {
  BriefInputs inputs = hand_made_inputs();
  inputs.demand.model = "another";
  CHECK_ERROR(build_brief(inputs), ErrorCode::kInvalidInput,
              "demand: model: expected one that its skus were measured or quoted with (m), found \"another\"");
}

TEST_CASE("an API's bill, and the load from which own machines cost no more") {
  const Brief brief =
      brief_of(hand_made_inputs(kDemand + "api: {name: an API, usd_per_million_input: 1, usd_per_million_output: "
                                          "3, source: its page, date: 2026-11-01}\n"));
  REQUIRE(brief.apis.size() == 1);
  // 64 USD per day, growing with the load. All four values are from the Python program named in option_cost_test.cpp.
  CHECK(brief.apis[0].usd_1_year.value == Approx(28322.5).epsilon(1e-5));
  CHECK(brief.apis[0].usd_3_years.value == Approx(134531.9).epsilon(1e-5));
  CHECK(brief.apis[0].first_requests_per_day.value == Approx(144000).epsilon(1e-4));
  CHECK(brief.apis[0].always_requests_per_day.value == Approx(204000).epsilon(1e-3));
  CHECK(brief.apis[0].usd_1_year.mark == "projected from quoted");
}

TEST_CASE("an API that is dearer, or cheaper, at every load that was looked at is said to be so, without a load") {
  const auto [usd, why] = GENERATE(table<const char*, const char*>(
      {{"99999", "at every load from a ten-thousandth of yours"}, {"0.0001", "at no load up to 100 times yours"}}));
  const Brief brief = brief_of(hand_made_inputs(
      kDemand +
      fmt::format("api: {{name: an API, usd_per_million_input: 0, usd_per_million_output: {}, source: its page, "
                  "date: 2026-11-01}}\n",
                  usd)));
  CHECK_FALSE(brief.apis.at(0).first_requests_per_day.value);
  CHECK(brief.apis[0].first_requests_per_day.why_not == why);
  CHECK(contains(render_markdown(brief_document(brief)),
                 fmt::format("Your machines of today cost no more than buying tokens {}.", why)));
}

TEST_CASE("sensitivities and break-even prices are those of the costs") {
  const Brief brief = brief_of(hand_made_inputs());
  const BriefOption& shift = brief.options[1];
  const auto swing = [&](std::string_view what) {
    return *std::find_if(shift.sensitivities.begin(), shift.sensitivities.end(),
                         [&](const BriefSensitivity& row) { return row.what == what; });
  };
  CHECK(swing("price of new").saving_percent_if_lower.value == Approx(-66.5978).epsilon(1e-5));
  CHECK(swing("price of new").saving_percent_if_higher.value == Approx(-89.1367).epsilon(1e-5));
  CHECK(swing("price of old").saving_percent_if_lower.value == Approx(-117.209).epsilon(1e-5));
  CHECK(swing("speed of new").saving_percent_if_lower.value == Approx(-82.4494).epsilon(1e-5));
  CHECK(swing("your volume").saving_percent_if_higher.value == Approx(-71.4621).epsilon(1e-5));
  REQUIRE(shift.break_even_prices.size() == 1);
  CHECK_FALSE(shift.break_even_prices[0].usd_per_hour.value);
  CHECK(brief.options[2].break_even_prices[0].usd_per_hour.value == Approx(1.5 * 99572 / 68620).epsilon(1e-5));
}

TEST_CASE("every figure of the JSON that has a value has a mark, and every other one a reason") {
  const auto json = nlohmann::json::parse(to_json(
      brief_of(hand_made_inputs(kDemand + "  - {kind: fallback, name: net, sku: cpu, percent: 10}\n"
                                          "api: {name: an API, usd_per_million_input: 0.5, usd_per_million_output: "
                                          "1.5, source: its page, date: 2026-11-01}\n"))));
  int n_figures = 0;
  std::function<void(const nlohmann::json&)> walk;
  walk = [&](const nlohmann::json& node) {
    if (node.is_object() && node.contains("why_not") && node.contains("mark")) {
      ++n_figures;
      CAPTURE(node.dump());
      CHECK(node["value"].is_null() == node["mark"].get<std::string>().empty());
      CHECK(node["value"].is_null() != node["why_not"].get<std::string>().empty());
      return;
    }
    if (!node.is_structured()) return;  // a plain value iterates over itself
    for (const auto& child : node) walk(child);
  };
  walk(json);
  CHECK(n_figures > 100);
}

TEST_CASE("the pages lead with the decision, mark every table and end with what makes the brief again") {
  const std::string page = render_markdown(brief_document(brief_of(hand_made_inputs())));
  const auto at = [&](std::string_view part) {
    CAPTURE(part);
    const std::size_t found = page.find(part);
    REQUIRE(found != std::string::npos);
    return found;
  };
  CHECK(at("# Procurement brief: A test") < at("> **Provisional: all costs 31 % less than staying over 3 years"));
  CHECK(at("> **Provisional") < at("## What it costs"));
  CHECK(at("## What it costs") < at("## Risks"));
  CHECK(at("## Risks") < at("## Timeline"));
  CHECK(at("## Timeline") < at("## What it rests on"));
  CHECK(at("## What it rests on") < at("## Annex"));
  CHECK(contains(page, "Run 0123456789abcdef"));
  CHECK(contains(page, "    secondsource brief runs/one --demand demand.yaml"));
  CHECK(contains(page, "projected from quoted"));
}

TEST_CASE("a table without any figure says so, and one without marks says nothing of them") {
  // The option costs less than staying at every load, so that there is no load to state.
  const std::string at_every_load = render_markdown(
      brief_document(brief_of(hand_made_inputs(with(kDemand, "  - {kind: shift, to: new, percent: 25}\n", "")))));
  CHECK(contains(at_every_load, "there may be loads that were not looked at, for which it costs more.\n"));
  const std::string not_costed = render_markdown(
      brief_document(brief_of(hand_made_inputs(with(kDemand, "slo: {ttft_ms: 500", "slo: {ttft_ms: 400")))));
  CHECK(contains(not_costed, "None of the figures is available."));
  for (const std::string& page : {at_every_load, not_costed}) {
    CHECK_FALSE(contains(page, "All figures are ."));
    CHECK_FALSE(contains(page, "All figures are not"));
  }
}

TEST_CASE("the brief's own sentences and the commands to repeat are not cut") {
  BriefInputs inputs = hand_made_inputs(with(kDemand, "slo: {ttft_ms: 500", "slo: {ttft_ms: 499.875"));
  inputs.runs[0].stored.record.command = {"secondsource", "run", "m", "--slo", "ttft_ms=500", "--out", "my run"};
  for (int i = 0; i < 100; ++i) inputs.runs[0].stored.record.command.push_back("--require-" + std::to_string(i));
  const Brief brief = brief_of(inputs);
  const std::string why = fmt::format("{}", fmt::join(sku_of(brief, "new").reasons, "; "));
  CHECK(why.size() > 200);
  const Document document = brief_document(brief);
  for (const std::string& page : {render_markdown(document), render_html(document)}) {
    CHECK_FALSE(contains(page, "bytes)"));
    CHECK(contains(page, "--require-99"));
    CHECK(contains(page, "no option could be costed"));
  }
  CHECK(contains(render_markdown(document), "    secondsource run m --slo ttft_ms=500 --out 'my run' --require-0"));
}

TEST_CASE("where nothing could be costed, the decision says why and what to run") {
  const Brief quoted = brief_of(hand_made_inputs(with(kDemand, "slo: {ttft_ms: 500", "slo: {ttft_ms: 400")));
  CHECK(quoted.decision.status == DecisionStatus::kNoEligibleOption);
  CHECK(
      quoted.decision.line ==
      "No option could be costed: old: no speed at the SLO: the quoted limits (500 ms, 50 ms, 99 %) do not cover yours "
      "(400 ms, 50 ms, 95 %); quote a speed under limits that cover yours, or measure it.");
  BriefInputs inputs = measured_inputs();
  std::erase_if(inputs.runs[0].summary.cells,
                [](const CellSummary& cell) { return cell.scenario.kind == ScenarioKind::kServer; });
  const Brief measured = brief_of(inputs);
  CHECK(measured.decision.line ==
        "No option could be costed: cpu: no speed at the SLO: no cell of server:slo-max with valid figures; run "
        "`secondsource run m --backend cpu --variant bf16 --scenario offline:16,server:slo-max --slo "
        "ttft_ms=500,tpot_ms=50,percent=95`, and give that run.");
  CHECK(contains(measured.decision.reasons.front(), "Stay is out: cannot be costed: cpu: no speed at the SLO"));
  CHECK(sku_of(measured, "host2").reasons.back() == "no option could be costed");
}

TEST_CASE("the published schema of the brief is that of the record as it is written today") {
  const auto published = read_file(test::source_path("reports/schemas/brief.schema.json"));
  REQUIRE_OK(published);
  CHECK(*published == brief_schema());
}
