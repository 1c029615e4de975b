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

using namespace secondsource;
using namespace secondsource::test;

namespace {

Brief brief_of(const BriefInputs& inputs) {
  auto brief = build_brief(inputs);
  REQUIRE_OK(brief);
  return std::move(brief).value();
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
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
  CHECK(brief.decision.line == "all: it costs 31 % less than staying over 3 years, a saving of $31,000.");
  CHECK(contains(brief.decision.reasons.front(), "quoted speeds are published without one"));
  CHECK(brief.options[0].usd_3_years.value == 99572);
  CHECK(brief.options[0].usd_3_years.mark == "projected from quoted");
  CHECK(brief.options[2].saving_percent_3_years.value == Approx(31.085).epsilon(1e-5));
}

TEST_CASE("below the least saving that the buyer asks for, the buyer stays") {
  const Brief brief = brief_of(hand_made_inputs(kDemand + "risk_limits: {min_saving_percent: 40}\n"));
  CHECK(brief.decision.option == "Stay");
  CHECK(contains(brief.decision.line, "No other option within your limits is sure to save more than 40 %"));
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
  CHECK(has_risk(measured_only, RiskLevel::kLimit, "its speed is quoted, not measured", "all"));

  const Brief two_suppliers = brief_of(hand_made_inputs(kDemand + "risk_limits: {max_single_vendor_percent: 90}\n"));
  // Only the shift is within the limit. It costs more, but staying is not eligible.
  CHECK(two_suppliers.decision.option == "Shift 25 % to B");
  CHECK(contains(two_suppliers.decision.line, "costs 80 % more than staying"));
  CHECK(has_risk(two_suppliers, RiskLevel::kLimit, "100 % of the load is on one supplier (A); your limit is 90 %",
                 "Stay"));
  CHECK_FALSE(two_suppliers.options[0].is_eligible);
}

TEST_CASE("a measured SKU that is cheaper is bought, a quoted one is not") {
  // All speeds are measured: the host serves today, and a copy of it at half the price is the alternative.
  std::string demand = with(kDemand, "{kind: stay, sku: old}", "{kind: stay, sku: cpu}");
  demand = with(demand, "migration:",
                "  - {id: host2, description: another host, vendor: D, price: p/r/cpu2, measured: {bundle: m, backend: "
                "cpu, variant: bf16, hardware: same}}\nmigration:");
  demand = with(demand, "migration: {person_days: 60", "migration: {person_days: 1");
  BriefInputs inputs = hand_made_inputs(demand + "  - {kind: shift, name: move, to: host2, percent: 100}\n");
  inputs.prices.push_back(inputs.prices[2]);
  inputs.prices.back().instance = "cpu2";
  inputs.prices.back().usd_per_hour = 0.20;
  const Brief brief = brief_of(inputs);
  const auto sku = [&](std::string_view id) {
    return *std::find_if(brief.skus.begin(), brief.skus.end(), [&](const BriefSku& row) { return row.id == id; });
  };
  CHECK(sku("cpu").verdict == SkuVerdict::kInUse);
  CHECK(sku("new").verdict == SkuVerdict::kNoBuy);
  CHECK(contains(sku("new").reasons.front(), "quoted, not measured"));
  // The alternative has half the price. The saving comes from the corners of both intervals: 1 - 0.5 x dearest /
  // cheapest.
  const BriefSku host2 = sku("host2");
  CHECK(host2.verdict == SkuVerdict::kBuy);
  CHECK(host2.saving_percent.value == Approx(50));
  // Machines are whole numbers: at both ends of the speeds the same number is needed.
  CHECK(host2.saving_percent.low == Approx(50));
  CHECK(host2.saving_percent.high == Approx(50));
  CHECK(host2.saving_percent.mark == "projected from measured");
  // At full load: 0.20 / 4 USD per hour for 100 tokens/s; 50 W / 100 tokens/s; 2 vCPUs x 1e6 / 360000 h.
  const BriefCost& full = host2.costs[0];
  CHECK(full.usd_per_1k_output.value == Approx(0.05 / 360).epsilon(1e-5));
  CHECK(full.usd_per_1k_output.mark == "derived from measured");
  CHECK(full.joules_per_token.value == Approx(0.5));
  CHECK(full.device_hours_per_million.value == Approx(5.55556).epsilon(1e-5));
  CHECK(full.usd_per_1k_output.basis ==
        std::vector<std::string>{"run 0123456789abcdef m/cpu/bf16/offline-b4", "price p/r/cpu2/on-demand"});
  // The option "move" is measured on the machine that is priced. The decision is therefore final and has an interval.
  const BriefOption& move = brief.options.back();
  CHECK(move.usd_3_years.low);
  CHECK(brief.decision.option == "move");
  CHECK(brief.decision.status == DecisionStatus::kDecided);
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
  inputs.runs[0].summary.cells[0].checks = {{"foreign_cpu", CheckOutcome::kPassed, "it waited 0.1 %"}};
  CHECK_FALSE(has_risk(brief_of(inputs), RiskLevel::kWarning, "other processes took", "net"));
  CHECK(has_risk(brief, RiskLevel::kWarning, "m/cpu/bf16/server-r4: suspect (warm_up): still rising", "net"));
  CHECK(has_risk(brief, RiskLevel::kWarning, "cpu crash: signal 11", "net"));
  CHECK(has_risk(brief, RiskLevel::kWarning, "a regression of up to 20 % is waived until 2026-12-31 (W-1: known)",
                 "net"));
  CHECK(has_risk(brief, RiskLevel::kNote, "its speed at the SLO varied: known to ± 5.0 %", "net"));
  CHECK(has_risk(brief, RiskLevel::kWarning, "single supplier: all of the load is on A", "Stay"));
  CHECK(has_risk(brief, RiskLevel::kNote, "old costs 1.5 USD/h on-demand", "all") == false);
  CHECK(has_risk(brief, RiskLevel::kNote, "new costs 1.5 USD/h on-demand, 0.5 spot", "all"));
  // An expired waiver covers nothing.
  inputs.date = "2027-01-01";
  CHECK_FALSE(has_risk(brief_of(inputs), RiskLevel::kWarning, "is waived", "net"));
}

TEST_CASE("limits on uncertainty, memory, spot and the age of prices take options out") {
  const auto [limit, part] = GENERATE(table<const char*, const char*>({
      {"max_speed_uncertainty_percent: 4", "is known to ± 5.0 %; your limit is 4 %"},
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

TEST_CASE("figures of another model are not compared, and a fallback that serves one says so") {
  BriefInputs inputs = hand_made_inputs(kDemand + "  - {kind: fallback, name: net, sku: cpu, percent: 10}\n");
  inputs.demand.model = "another";
  const Brief brief = brief_of(inputs);
  CHECK(has_risk(brief, RiskLevel::kLimit, "old serves m, not another", "Stay"));
  CHECK(has_risk(brief, RiskLevel::kWarning, "the fallback serves m instead of another", "net"));
  CHECK(brief.decision.status == DecisionStatus::kNoEligibleOption);
}

TEST_CASE("an API's bill, and the load from which own machines cost no more") {
  const Brief brief =
      brief_of(hand_made_inputs(kDemand + "api: {name: an API, usd_per_million_input: 1, usd_per_million_output: "
                                          "3, source: its page, date: 2026-11-01}\n"));
  REQUIRE(brief.apis.size() == 1);
  // 64 USD per day, growing. All four values are from the Python program that option_cost_test.cpp describes.
  CHECK(brief.apis[0].usd_1_year.value == Approx(28322.5).epsilon(1e-5));
  CHECK(brief.apis[0].usd_3_years.value == Approx(134531.9).epsilon(1e-5));
  CHECK(brief.apis[0].first_requests_per_day.value == Approx(144000).epsilon(1e-4));
  CHECK(brief.apis[0].always_requests_per_day.value == Approx(204000).epsilon(1e-3));
  CHECK(brief.apis[0].usd_1_year.mark == "projected from quoted");
}

TEST_CASE("sensitivities and break-even prices are those of the costs") {
  const Brief brief = brief_of(hand_made_inputs());
  const BriefOption& shift = brief.options[1];
  const auto swing = [&](std::string_view what) {
    return *std::find_if(shift.sensitivities.begin(), shift.sensitivities.end(),
                         [&](const BriefSensitivity& row) { return row.what == what; });
  };
  CHECK(swing("price of new").saving_percent_if_lower.value == Approx(-68.0151).epsilon(1e-5));
  CHECK(swing("price of new").saving_percent_if_higher.value == Approx(-91.7688).epsilon(1e-5));
  CHECK(swing("price of old").saving_percent_if_lower.value == Approx(-120.101).epsilon(1e-5));
  CHECK(swing("speed of new").saving_percent_if_lower.value == Approx(-84.4740).epsilon(1e-5));
  CHECK(swing("your volume").saving_percent_if_higher.value == Approx(-72.0544).epsilon(1e-5));
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
  CHECK(at("# Procurement brief: A test") < at("> **Provisional: all: it costs 31 % less than staying over 3 years"));
  CHECK(at("> **Provisional") < at("## What it costs"));
  CHECK(at("## What it costs") < at("## Risks"));
  CHECK(at("## Risks") < at("## Timeline"));
  CHECK(at("## Timeline") < at("## What it rests on"));
  CHECK(at("## What it rests on") < at("## Annex"));
  CHECK(contains(page, "Run 0123456789abcdef"));
  CHECK(contains(page, "    secondsource brief runs/one --demand demand.yaml"));
  CHECK(contains(page, "projected from quoted"));
}

TEST_CASE("the published schema of the brief is that of the record as it is written today") {
  const auto published = read_file(test::source_path("reports/schemas/brief.schema.json"));
  REQUIRE_OK(published);
  CHECK(*published == brief_schema());
}
