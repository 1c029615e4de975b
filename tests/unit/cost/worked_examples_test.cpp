// Recomputes the examples of docs/cost.md and compares the figures on that page. The expected values were computed by a
// separate Python program (the formulas of that page, ceil(x - 1e-9), 12 months of 365/12 days), not by this library.

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "cost/break_even.h"
#include "cost/load_cost.h"
#include "cost/own_hardware.h"
#include "cost/price.h"
#include "cost/token_cost.h"
#include "support/catch.h"
#include "support/source_path.h"

using namespace secondsource;

namespace {

/// Checks that docs/cost.md has a line that begins with `label` followed by `figures`.
void check_documented(std::string_view label, const std::string& figures) {
  std::ifstream file(test::source_path("docs/cost.md"));
  std::string line;
  while (std::getline(file, line)) {
    if (line.find(label) != std::string::npos && line.find(figures) != std::string::npos) return;
  }
  FAIL_CHECK("docs/cost.md: expected \"" << label << " ... " << figures << "\"");
}

DayProfile working_hours() {
  DayProfile profile;
  for (std::size_t hour = 0; hour < 24; ++hour) profile[hour] = hour >= 8 && hour < 18 ? 0.08 : 0.20 / 14;
  return profile;
}

const ServedLoad kLoad{.interactive_tokens_per_day = 16e6, .profile = working_hours()};
const Fleet kFleet{
    .interactive_tok_per_s = 400, .batch_tok_per_s = 500, .instances_per_replica = 1, .usd_per_instance_hour = 2.40};
const SizingRule kRule{.headroom_percent = 25, .minimum_replicas = 1};

}  // namespace

TEST_CASE("worked example: hardware of one's own") {
  const OwnHardware own{.purchase_usd = 200000,
                        .residual_percent = 10,
                        .depreciation_years = 4,
                        .power_w = 9500,
                        .pue = 1.3,
                        .usd_per_kwh = 0.12,
                        .hosting_usd_per_month = 1500,
                        .maintenance_percent_per_year = 5,
                        .utilisation_percent = 95};
  CHECK(own.depreciation_usd_per_hour() == Approx(5.136986301369863));
  CHECK(own.energy_usd_per_hour() == Approx(1.482));
  CHECK(own.running_usd_per_hour() == Approx(3.1963470319634704));
  CHECK(own.usd_per_hour() == Approx(10.253929824561402));
  check_documented("depreciation", fmt::format("{:.4f} USD/h", own.depreciation_usd_per_hour()));
  check_documented("energy", fmt::format("{:.4f} USD/h", own.energy_usd_per_hour()));
  check_documented("running", fmt::format("{:.4f} USD/h", own.running_usd_per_hour()));
  check_documented("in all", fmt::format("{:.4f} USD/h", own.usd_per_hour()));
}

TEST_CASE("worked example: a machine at full load, with the interval of its speed carried through") {
  const Interval rate{.value = 500, .low = 480, .high = 520};
  const TokenCosts costs = token_costs(2.40, rate, 3.0, {});
  CHECK(costs.output_only.value == Approx(0.0013333333333333333));
  CHECK(*costs.output_only.low == Approx(0.001282051282051282));
  CHECK(*costs.output_only.high == Approx(0.001388888888888889));
  CHECK(costs.output->value == Approx(0.0007619047619047619));
  CHECK(costs.input->value == Approx(0.00019047619047619048));
  CHECK(costs.blended->value == Approx(0.0003333333333333333));
  CHECK(device_hours_per_million(1, rate).value == Approx(0.5555555555555556));
  CHECK(joules_per_token(350, rate).value == Approx(0.7));
  check_documented("$/1K output ", fmt::format("{:.7f} ({:.7f} to {:.7f})", costs.output_only.value,
                                               *costs.output_only.low, *costs.output_only.high));
  check_documented("$/1K output, split", fmt::format("{:.7f}", costs.output->value));
  check_documented("$/1K input, split", fmt::format("{:.7f}", costs.input->value));
  check_documented("$/1K blended", fmt::format("{:.7f}", costs.blended->value));
  check_documented("device-hours / million", fmt::format("{:.4f}", device_hours_per_million(1, rate).value));
  check_documented("joules / token", fmt::format("{:.4f}", joules_per_token(350, rate).value));
}

TEST_CASE("without a measured interval there is none, and without an input length no split") {
  const TokenCosts costs = token_costs(2.40, {.value = 500}, std::nullopt, {});
  CHECK_FALSE(costs.output_only.is_bounded());
  CHECK_FALSE(costs.output);
  CHECK_FALSE(costs.input);
  CHECK_FALSE(costs.blended);
}

TEST_CASE("the split prices charge exactly the hour") {
  // 1 h at 500 tokens/s gives 1.8 million output tokens and, with three input tokens for each, 5.4 million input
  // tokens.
  const TokenCosts costs = token_costs(2.40, {.value = 500}, 3.0, {.input = 1, .output = 5});
  CHECK(1800 * costs.output->value + 5400 * costs.input->value == Approx(2.40));
  CHECK(costs.output->value == Approx(5 * costs.input->value));
  CHECK(7200 * costs.blended->value == Approx(2.40));
}

TEST_CASE("worked example: a day at the buyer's own load") {
  const DayCost day = cost_of_day(kLoad, kFleet, kRule);
  CHECK(day.instance_hours == 34);
  CHECK(day.instances[12] == 2);
  CHECK(day.instances[3] == 1);
  CHECK(day.usd == Approx(81.6));
  CHECK(day.idle_share == Approx(0.673202614379085));
  check_documented("a day", fmt::format("{} instance-hours, {:.2f} USD, {:.1f} % of it idle", day.instance_hours,
                                        day.usd, 100 * day.idle_share));
  check_documented("$/1K output", fmt::format("{:.7f}", day.usd / 16000));
  check_documented("busiest hour", fmt::format("{:.1f} tokens/s, {:.1f} with headroom: 2 instances", 16e6 * 0.08 / 3600,
                                               16e6 * 0.1 / 3600));
  check_documented("at this load a thousand tokens cost",
                   fmt::format("{:.1f} times", day.usd / 16000 / 0.0013333333333333333));

  Fleet committed = kFleet;
  committed.pays_for_peak = true;
  const DayCost peak = cost_of_day(kLoad, committed, kRule);
  CHECK(peak.instance_hours == 48);
  CHECK(peak.idle_share == Approx(0.7685185185185186));
  check_documented("paid for the peak", fmt::format("{} instance-hours, {:.2f} USD, {:.1f} % of it idle",
                                                    peak.instance_hours, peak.usd, 100 * peak.idle_share));
}

TEST_CASE(
    "batch work fills idle machines, a replica may be a part of an instance or several, and two may be the least") {
  ServedLoad with_batch = kLoad;
  with_batch.batch_tokens_per_day = 20e6;
  CHECK(cost_of_day(with_batch, kFleet, kRule).instance_hours == 34);
  CHECK(cost_of_day(with_batch, kFleet, kRule).idle_share == Approx(0.34640522875817026));

  Fleet slice = kFleet;
  slice.instances_per_replica = 2.0 / 128;
  slice.usd_per_instance_hour = 3.1744;
  CHECK(cost_of_day(kLoad, slice, kRule).instance_hours == 24);
  ServedLoad large = kLoad;
  large.interactive_tokens_per_day = 16e8;
  CHECK(cost_of_day(large, slice, kRule).usd == Approx(107.9296));
  CHECK(cost_of_day(large, slice, kRule).idle_share == Approx(0.4893790849673201));

  Fleet pair = kFleet;
  pair.instances_per_replica = 2;
  CHECK(cost_of_day(kLoad, pair, {.headroom_percent = 25, .minimum_replicas = 2}).instance_hours == 96);
}

TEST_CASE("a load of nothing needs nothing, and one that fills machines exactly needs no further one") {
  CHECK(cost_of_day({}, kFleet, kRule).instance_hours == 0);
  // The load needs exactly three machines in every hour, independently of the last bit of the division.
  const ServedLoad exact{.interactive_tokens_per_day = 86400.0 * 3 * 400};
  CHECK(cost_of_day(exact, kFleet, {}).instance_hours == 72);
}

TEST_CASE("worked example: three years with growth") {
  ServedLoad load = kLoad;
  CHECK(cost_of_horizon(load, kFleet, kRule, 0, {0, 12}).usd == Approx(29784.0));
  load.batch_tokens_per_day = 4e6;
  const HorizonCost three = cost_of_horizon(load, kFleet, kRule, 50, {0, 36});
  CHECK(three.usd == Approx(109792.0));
  CHECK(three.output_tokens == Approx(42041208511.33179));
  CHECK(three.instance_hours == Approx(45746.66666666665));
  CHECK(three.peak_instances == 4);
  CHECK(three.idle_share == Approx(0.3873330149907933));
  check_documented("3 years",
                   fmt::format("{:.0f} USD, {:.2f} thousand million tokens, {:.1f} % idle, {} instances", three.usd,
                               three.output_tokens / 1e9, 100 * three.idle_share, three.peak_instances));
  // Two adjoining spans add up to the whole, even if they meet within a month.
  const HorizonCost until = cost_of_horizon(load, kFleet, kRule, 50, {0, 2.75});
  const HorizonCost from = cost_of_horizon(load, kFleet, kRule, 50, {2.75, 36});
  CHECK(until.usd + from.usd == Approx(three.usd));
  CHECK(until.instance_hours + from.instance_hours == Approx(three.instance_hours));
  CHECK(until.usd > 0);
  CHECK(until.usd < from.usd);
  Fleet committed = kFleet;
  committed.pays_for_peak = true;
  CHECK(cost_of_horizon(load, committed, kRule, 50, {0, 36}).usd == Approx(175200.0));
  check_documented("paid for the peak", "175200 USD");
  // 500 days of 24 hours at 2.40 USD: one machine for the first 16 months, and three for all days.
  constexpr double kMonths = 500 / (365.0 / 12);
  const CommittedInstances three_machines{.instances = 3, .until_month = kMonths, .usd_per_instance_hour = 2.40};
  const std::vector<FleetLoad> served = {{load, committed}};
  const HorizonCost beside = owed_over_horizon(three_machines, served, kRule, 50, {0, 36});
  CHECK(beside.usd == Approx(16 * 365.0 / 12 * 24 * 2.40));
  CHECK(beside.peak_instances == 1);
  CHECK(beside.idle_share == 1);
  CHECK(beside.output_tokens == 0);
  check_documented("owed beside the load", fmt::format("{:.0f} USD", beside.usd));
  const HorizonCost without = owed_over_horizon(three_machines, {}, kRule, 50, {0, 36});
  CHECK(without.usd == Approx(500 * 24 * 3 * 2.40));
  CHECK(without.peak_instances == 3);
  check_documented("owed without it", fmt::format("{:.0f} USD", without.usd));
  // A commitment costs as much in two spans of time as in one, and nothing after its last day.
  const HorizonCost parts = joined(owed_over_horizon(three_machines, served, kRule, 50, {0, 2.75}),
                                   owed_over_horizon(three_machines, served, kRule, 50, {2.75, 36}));
  CHECK(parts.usd == Approx(beside.usd));
  CHECK(parts.instance_hours == Approx(beside.instance_hours));
  CHECK(parts.idle_share == 1);
  CHECK(owed_over_horizon(three_machines, {}, kRule, 50, {16.5, 36}).instance_hours ==
        0);  // the last day is in month 16
}

TEST_CASE("worked example: the price below which an option wins") {
  CHECK(*break_even_price(1000, 400, 300) == Approx(2.0));
  check_documented("300 instance-hours", "2.0000 USD/h");
  CHECK_FALSE(break_even_price(400, 400, 300));
  CHECK_FALSE(break_even_price(1000, 400, 0));
}

TEST_CASE("worked example: the load from which own machines cost no more than an API") {
  const auto own = [](double tokens_per_day) {
    return cost_of_day({.interactive_tokens_per_day = tokens_per_day}, kFleet, {}).usd;
  };
  const auto api_at = [](double usd_per_million) {
    return [usd_per_million](double tokens_per_day) { return tokens_per_day / 1e6 * usd_per_million; };
  };
  const LoadBreakEven at_2 = break_even_load(own, api_at(2.0), 1e6, 1e9);
  REQUIRE(at_2.first);
  REQUIRE(at_2.always);
  // One machine costs 57.60 USD per day. 144 million tokens pay for five machines, and beyond that also for each
  // further machine.
  CHECK(*at_2.first == Approx(28.8e6).epsilon(1e-6));
  CHECK(*at_2.always == Approx(144e6).epsilon(1e-6));
  check_documented("first ", fmt::format("{:.2f} million", *at_2.first / 1e6));
  check_documented("always from", fmt::format("{:.1f} million", *at_2.always / 1e6));
  CHECK(*break_even_load(own, api_at(1.8), 1e6, 1e9).always == Approx(416e6).epsilon(1e-4));
  CHECK_FALSE(break_even_load(own, api_at(0.6), 1e6, 1e9).first);
  // Against such an API, own machines are cheaper at every load, so the break-even is the smallest load considered.
  CHECK(*break_even_load(own, api_at(1e6), 1e6, 1e9).first == 1e6);
}

TEST_CASE("a thousand tokens cost what the hour costs, divided by the thousands of tokens in it") {
  // Computed by hand: 100 tokens/s are 360 thousand tokens per hour, so 3.60 USD/h is 0.01 USD per thousand tokens.
  CHECK(*usd_per_1k_tokens({.usd_per_hour = 3.60}, 100) == Approx(0.01));
  // Two of eight devices cost a quarter of the price.
  CHECK(*usd_per_1k_tokens({.usd_per_hour = 3.60, .n_units = 8, .n_units_used = 2}, 100) == Approx(0.0025));
  CHECK_FALSE(usd_per_1k_tokens({.usd_per_hour = 3.60}, 0));
  // 1e6 tokens at 1000/s take 1000 s on each of two devices: 0.5556 device-hours.
  CHECK(*device_hours_per_million_tokens(2, 1000) == Approx(2000.0 / 3600));
}

TEST_CASE("a backend is charged what it uses of what the price buys") {
  const auto charged = [](const PricedInstance& priced, const UsedUnits& used) {
    const PriceShare share = charged_share(priced, used);
    return fmt::format("{:g} of {:g} {}", share.n_used, share.n_of, to_string(share.unit));
  };
  const UsedUnits host{.n = 2, .is_host = true, .n_host_cpus = 16};
  const UsedUnits gpu{.n = 1, .n_host_cpus = 16};
  const UsedUnits server_of_4{.n = 4, .is_system = true, .n_host_cpus = 16};
  const UsedUnits server{.n = 1, .is_system = true, .is_stated = false, .n_host_cpus = 16};
  SECTION("a number, of an instance whose devices are not known") {
    const PricedInstance instance{};
    CHECK(charged(instance, host) == "2 of 16 vCPU");
    CHECK(charged(instance, gpu) == "1 of 1 instance");
    CHECK(charged(instance, server_of_4) == "1 of 1 instance");
    CHECK(charged(instance, server) == "1 of 1 instance");
  }
  SECTION("a number, of one device") {
    const PricedInstance device{.is_per_device = true};
    CHECK(charged(device, host) == "1 of 1 device");
    CHECK(charged(device, gpu) == "1 of 1 device");
    CHECK(charged(device, server_of_4) == "4 of 1 device");
    CHECK(charged(device, server) == "1 of 1 device");
  }
  SECTION("a row with accelerators") {
    const PricedInstance row{.n_devices = 8, .n_cpus = 224};
    CHECK(charged(row, host) == "2 of 224 vCPU");
    CHECK(charged(row, gpu) == "1 of 8 device");
    CHECK(charged(row, server_of_4) == "4 of 8 device");
    CHECK(charged(row, server) == "1 of 1 instance");
    CHECK(charged({.n_devices = 8}, host) == "2 of 16 vCPU");
  }
  SECTION("a row without accelerators") {
    const PricedInstance row{.n_cpus = 128};
    CHECK(charged(row, host) == "2 of 128 vCPU");
    CHECK(charged(row, gpu) == "1 of 1 instance");
    CHECK(charged(row, server_of_4) == "4 of 128 vCPU");
    CHECK(charged(row, server) == "1 of 1 instance");
  }
}
