#include "brief/demand.h"

#include <nlohmann/json.hpp>

#include "brief/quoted.h"
#include "brief/sku_evaluation.h"
#include "brief_inputs.h"
#include "support/source_path.h"

using namespace secondsource;
using namespace secondsource::test;
namespace {

using Json = nlohmann::json;

/// A demand in JSON, which YAML contains, with every number that a demand can have outside of its options.
const char* const kAllNumbers = R"({
  "version": 1, "title": "t", "model": "m",
  "volume": {"requests_per_day": 10, "growth_percent_per_year": 0, "batch_percent": 0,
    "profile": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]},
  "context_mix": [{"name": "a", "percent": 100, "input_tokens": 1, "output_tokens": 1}],
  "slo": {"ttft_ms": 500, "tpot_ms": 50, "percent": 95},
  "weights": {"input": 1, "output": 4},
  "sizing": {"headroom_percent": 0, "minimum_replicas": 1},
  "skus": [{"id": "s", "description": "d", "vendor": "v", "price": "p", "machines_per_replica": 1,
    "committed": {"machines": 1, "until": "2027-01-01"}, "quoted": {"full_load": "f", "slo": "g"}}],
  "options": [{"kind": "stay", "sku": "s"}],
  "migration": {"person_days": 1, "usd_per_day": 1, "people": 1, "certify_weeks": 1, "ramp_weeks": 1},
  "risk_limits": {"max_single_vendor_percent": 1, "max_spot_percent": 1, "max_speed_uncertainty_percent": 1,
    "min_memory_headroom_percent": 1, "max_price_age_days": 1, "min_saving_percent": 1},
  "api": {"name": "n", "usd_per_million_input": 1, "usd_per_million_output": 1, "source": "s", "date": "2026"},
  "outage": {"hours_per_year": 1, "usd_per_hour": 1}
})";

/// The part of a JSON schema that describes the value at this place of a document.
const Json& part_at(const Json& schema, const Json::json_pointer& place) {
  const auto resolved = [&](const Json& part) -> const Json& {
    return part.contains("$ref") ? schema.at(Json::json_pointer(part["$ref"].get<std::string>().substr(1))) : part;
  };
  if (place.empty()) return schema;
  // If the argument were a temporary, g++ 14 would warn that the returned reference may dangle (-Wdangling-reference).
  const Json::json_pointer above = place.parent_pointer();
  const Json& parent = part_at(schema, above);
  return resolved(parent.contains("items") ? parent["items"] : parent.at("properties").at(place.back()));
}

}  // namespace

TEST_CASE("a demand is read, with what may be left out at its default") {
  const auto demand = parse_demand(kDemand, "demand.yaml");
  REQUIRE_OK(demand);
  CHECK(demand->requests_per_day == 160000);
  CHECK(demand->output_tokens_per_day() == Approx(16e6));
  CHECK(demand->profile[12] == Approx(0.08));
  CHECK(demand->profile[0] == Approx(0.20 / 14));
  CHECK(demand->weights.output == 4);
  CHECK(demand->decision_years == 3);
  CHECK(demand->limits.require_passed_golden);
  REQUIRE(demand->options.size() == 3);
  CHECK(demand->options[0].name == "Stay");
  CHECK(demand->options[1].name == "Shift 25 % to B");
  REQUIRE(demand->options[1].interactive.size() == 2);
  CHECK(demand->options[1].interactive[0].percent == Approx(75));
  CHECK(demand->options[1].migration.usd() == 54000);
}

TEST_CASE("tokens a day become requests, and shares of several kinds their mean") {
  const auto demand = parse_demand(with(with(kDemand, "requests_per_day: 160000", "output_tokens_per_day: 2.5e7"),
                                        "  - {name: chat, percent: 100, input_tokens: 100, output_tokens: 100}",
                                        "  - {name: a, percent: 75, input_tokens: 100, output_tokens: 100}\n"
                                        "  - {name: b, percent: 25, input_tokens: 2100, output_tokens: 200}"),
                                   "demand.yaml");
  REQUIRE_OK(demand);
  CHECK(demand->mean_output_tokens() == Approx(125));
  CHECK(demand->mean_input_tokens() == Approx(600));
  CHECK(demand->requests_per_day == Approx(200000));
}

TEST_CASE("a shift takes its share of everything that serves today") {
  const auto demand = parse_demand(with(kDemand, "{kind: stay, sku: old}",
                                        "{kind: stay, interactive: [{sku: old, percent: 60}, {sku: new, percent: 40}], "
                                        "batch: [{sku: new, percent: 100}]}"),
                                   "demand.yaml");
  REQUIRE_OK(demand);
  const OptionSpec& shift = demand->options[1];
  REQUIRE(shift.interactive.size() == 2);
  CHECK(shift.interactive[0].percent == Approx(45));
  CHECK(shift.interactive[1].percent == Approx(55));
  REQUIRE(shift.batch.size() == 1);
  CHECK(shift.batch[0].percent == Approx(100));
}

TEST_CASE("a demand is refused with the line, the field and what was expected") {
  const auto [from, to, part] = GENERATE(table<const char*, const char*, const char*>({
      {"version: 1", "version: 3", "demand.yaml:1: version"},
      {"title: A test", "titel: A test", "found \"titel\""},
      {"model: m\n", "", "model"},
      {"requests_per_day: 160000", "requests_per_day: 160000\n  output_tokens_per_day: 5", "either requests_per_day"},
      {"requests_per_day: 160000\n  ", "", "either requests_per_day"},
      {"requests_per_day: 160000", "requests_per_day: -1", "volume.requests_per_day"},
      {"growth_percent_per_year: 50", "growth_percent_per_year: .nan", "a number"},
      {"batch_percent: 20", "batch_percent: 120", "batch_percent"},
      {"profile: [1, 1,", "profile: [1,", "24 numbers"},
      {"percent: 100, input_tokens", "percent: 90, input_tokens", "expected a sum of 100, found 90"},
      {"slo: {ttft_ms: 500, tpot_ms: 50, percent: 95}", "slo: {preset: mlperf-llama2-70b-serve}",
       "one of mlperf-llama2-70b-server"},
      {"slo: {ttft_ms: 500", "slo: {preset: mlperf-llama2-70b-server, ttft_ms: 500", "either a preset"},
      {"slo: {ttft_ms: 500, tpot_ms: 50, percent: 95}", "slo: {ttft_ms: 500, tpot_ms: 50, percent: 100}",
       "slo.percent"},
      {"sizing: {headroom_percent: 25, minimum_replicas: 1}", "decision_years: 2", "1 or 3"},
      {"id: new", "id: old", "id \"old\" is given twice"},
      {"quoted: {full_load: old-offline, slo: old-server}", "quoted: {}", "full_load, slo or both"},
      {"price: p/r/old,", "price: p/r/old, committed: {machines: 6},", "until"},
      {"price: p/r/old,", "price: p/r/old, committed: {machines: 0, until: 2027-01-01},", "committed.machines"},
      {"price: p/r/old,", "price: p/r/old, committed: {machines: 6, until: 2027-02-29},", "the last one that is paid"},
      {"hardware: same", "hardware: this", "same (the price is for the machine that was measured) or similar"},
      {", measured: {bundle: m, backend: cpu, variant: bf16, hardware: same}", "", "either measured or quoted"},
      {"people: 3", "people: 0", "migration.people"},
      {"{kind: stay, sku: old}", "{kind: stay, sku: other}", "the id of one of the skus"},
      {"{kind: stay, sku: old}", "{kind: shift, name: x, to: new, percent: 5}", "expected one of kind stay"},
      {"{kind: shift, to: new, percent: 25}", "{kind: stay, sku: new}", "found a second"},
      {"{kind: shift, to: new, percent: 25}", "{kind: leave}", "stay, shift, fallback, move-batch or own"},
      {"{kind: shift, to: new, percent: 25}", "{kind: shift, to: new, percent: 0}", "percent"},
      {"interactive: [{sku: new, percent: 100}]", "interactive: [{sku: new, percent: 99}]",
       "percents that sum to 100, found 99"},
      {"interactive: [{sku: new, percent: 100}]", "interactive: [{sku: new, percent: 50}, {sku: new, percent: 50}]",
       "is given twice"},
      {"{kind: shift, to: new, percent: 25}", "{kind: fallback, sku: new, percent: 25, hours_per_year: 0}",
       "hours_per_year: expected a number above 0"},
      {"name: all", "name: Stay", "name \"Stay\" is given twice"},
      {"sizing:", "risk_limits: {max_spot: 3}\nsizing:", "found \"max_spot\""},
      {"sizing:", "api: {name: x, usd_per_million_input: 1, usd_per_million_output: 0, source: s, date: d}\nsizing:",
       "usd_per_million_output"},
  }));
  CAPTURE(from, to);
  CHECK_ERROR(parse_demand(with(kDemand, from, to), "demand.yaml"), ErrorCode::kInvalidInput, part);
}

TEST_CASE("a quoted file is refused with the line, the field and what was expected") {
  const std::string good =
      "version: 1\nread_on: 2026-11-20\nrows:\n  - {id: a, model: m, precision: fp8, accelerator: x, accelerators: 8, "
      "scenario: server, "
      "output_tok_per_s: 5, slo: {ttft_ms: 2000, tpot_ms: 200, percent: 99}, submitter: s, source: u, date: "
      "2025-09-09}\n";
  REQUIRE_OK(parse_quoted(good, "quoted.yaml"));
  const auto [from, to, part] = GENERATE(table<const char*, const char*, const char*>({
      {"id: a, ", "", "id"},
      {"source: u", "source: \"\"", "expected a text"},
      {"scenario: server", "scenario: offline", "none of an offline one"},
      {", slo: {ttft_ms: 2000, tpot_ms: 200, percent: 99}", "", "the limits of a server"},
      {"scenario: server", "scenario: fast", "offline, server or interactive"},
      {"output_tok_per_s: 5", "output_tok_per_s: 0", "output_tok_per_s"},
      {"date: 2025-09-09", "date: 2025-09-31", "undated"},
      {"submitter: s", "submitter: s, url: x", "found \"url\""},
  }));
  CAPTURE(from, to);
  CHECK_ERROR(parse_quoted(with(good, from, to), "quoted.yaml"), ErrorCode::kInvalidInput, part);
  CHECK_ERROR(parse_quoted(good + good.substr(good.find("  - ")), "quoted.yaml"), ErrorCode::kInvalidInput,
              "is given twice");
}

TEST_CASE("the quoted figures that come with the project are valid, and so is the template of a demand") {
  const auto quoted = read_quoted(test::source_path("reports/quoted.yaml"));
  REQUIRE_OK(quoted);
  CHECK(quoted->size() == 55);
  const auto demand = read_demand(test::source_path("reports/templates/demand.yaml"));
  REQUIRE_OK(demand);
  const auto prices = read_price_book(test::source_path("reports/prices.yaml"));
  REQUIRE_OK(prices);
  const auto skus = resolve_skus(*demand, {}, *quoted, *prices);
  REQUIRE_OK(skus);
  const auto rows = evaluate_skus(*demand, *skus, {}, {});
  // USD per million output tokens of Llama 2 70B offline (MLPerf v5.1) at OCI's list prices, computed by hand: 16 H100:
  // 2 x 80 / (62352 x 3600) x 1e6 = 0.713; 8 MI300X: 48 / (27854 x 3600) x 1e6 = 0.479.
  CHECK(*rows[0].costs[0].usd_per_1k_output.value == Approx(0.713e-3).epsilon(1e-3));
  CHECK(*rows[1].costs[0].usd_per_1k_output.value == Approx(0.479e-3).epsilon(1e-3));
}

TEST_CASE("the published schema of a demand bounds every number as the reader does") {
  const Json schema = Json::parse(*read_file(test::source_path("reports/schemas/demand.schema.json")));
  int n_numbers = 0;
  const auto check_numbers = [&](const Json& demand) {
    REQUIRE_OK(parse_demand(demand.dump(), "demand.yaml"));
    const Json places = demand.flatten();
    for (const auto& [place, value] : places.items()) {
      if (!value.is_number() || place == "/version") continue;
      CAPTURE(place);
      const Json::json_pointer pointer(place);
      const Json& part = part_at(schema, pointer);
      REQUIRE(part.contains("minimum"));
      REQUIRE(part.contains("maximum"));
      ++n_numbers;
      Json changed = demand;
      changed[pointer] = 1e300;
      const std::string range =
          fmt::format("from {} to {}", part["minimum"].get<double>(), part["maximum"].get<double>());
      CHECK_ERROR(parse_demand(changed.dump(), "demand.yaml"), ErrorCode::kInvalidInput, range);
    }
  };
  Json demand = Json::parse(kAllNumbers);
  check_numbers(demand);
  demand["volume"].erase("requests_per_day");
  demand["volume"]["output_tokens_per_day"] = 10;
  check_numbers(demand);
  CHECK(n_numbers > 50);
}
