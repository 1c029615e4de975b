#include "brief/sku.h"

#include "brief_inputs.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

Result<std::vector<Sku>> resolved(const BriefInputs& inputs) {
  return resolve_skus(inputs.demand, inputs.runs, inputs.quoted, inputs.prices);
}

Sku measured_sku(const BriefInputs& inputs) {
  auto skus = resolved(inputs);
  REQUIRE_OK(skus);
  return (*skus)[2];
}

}  // namespace

TEST_CASE("a measured SKU has the speeds of its cells with the bounds of a rerun, and the share of its machine") {
  const BriefInputs inputs = hand_made_inputs();
  const Sku sku = measured_sku(inputs);
  // Computed by tests/reruns/simulate.py from the repetitions 100, 104, 96, 102 and 98. They were measured on 2 vCPUs; the
  // priced machine has 8 and therefore runs four such instances.
  CHECK(sku.full_load.tok_per_s->value == Approx(4 * 100));
  CHECK(*sku.full_load.tok_per_s->low == Approx(4 * 94.59571650196497));
  CHECK(*sku.full_load.tok_per_s->high == Approx(4 * 105.71303194042912));
  CHECK(sku.at_slo.tok_per_s->value == Approx(4 * 60));
  CHECK(sku.at_slo.from == "m/cpu/bf16/server-slo-max");
  CHECK(sku.at_slo.evidence.mark() == "projected from measured");
  CHECK(sku.at_slo.evidence.basis == std::vector<std::string>{"run 0123456789abcdef m/cpu/bf16/server-slo-max"});
  CHECK(sku.rated_units == 2);
  CHECK(sku.n_units == 8);
  CHECK(sku.instances_per_replica == 1);
  CHECK(*sku.power_w == 4 * 50);
  CHECK(*sku.memory_headroom_percent == Approx(75));
  CHECK(sku.faults.empty());
  CHECK(sku.price_assumptions.empty());
  CHECK(sku.load_assumptions.empty());
  CHECK(sku.scaling == "4 systems of 2 vCPUs side by side on one cpu are each as fast as the one that was measured");
}

TEST_CASE("a system whose devices were not stated counts as one replica, which is said") {
  BriefInputs inputs = hand_made_inputs();
  BackendRecord& backend = inputs.runs[0].stored.record.backends[0];
  backend.n_units_used = 1;
  backend.are_units_unknown = true;
  const Sku sku = measured_sku(inputs);
  CHECK(sku.full_load.tok_per_s->value == Approx(100));
  CHECK(sku.rated_units == 8);
  CHECK(*sku.power_w == 50);
  CHECK(sku.scaling == "cpu, whose devices were not stated, used the 8 vCPUs of one cpu");
  CHECK(sku.full_load.evidence.mark() == "projected from measured");
}

TEST_CASE("the speed at the SLO needs a rate that was sought, at which the promise is shown to be kept") {
  BriefInputs inputs = hand_made_inputs();
  inputs.runs = {hand_made_run(5, 600)};  // every first token takes 600 ms, and the SLO allows 500
  Sku sku = measured_sku(inputs);
  CHECK_FALSE(sku.at_slo.tok_per_s);
  CHECK(sku.at_slo.why_not.find("server-slo-max: 0 of 100 requests kept it") != std::string::npos);
  inputs.runs = {hand_made_run(2)};  // 40 requests are too few to show a share of 95 %
  sku = measured_sku(inputs);
  CHECK_FALSE(sku.at_slo.tok_per_s);
  CHECK(sku.at_slo.why_not.find("server-slo-max: 40 of 40 requests kept it, too few to tell") != std::string::npos);
  CHECK_FALSE(sku.full_load.tok_per_s->is_bounded());  // two repetitions have no interval
}

TEST_CASE("a load that was offered is no capacity: it is refused with what was sent and what to run instead") {
  BriefInputs inputs = hand_made_inputs(kDemand + "  - {kind: fallback, sku: cpu, percent: 10}\n");
  for (CellSummary& cell : inputs.runs[0].summary.cells) {
    if (cell.scenario.kind != ScenarioKind::kServer) continue;
    cell.scenario.seeks_slo_rate = false;
    cell.scenario.rate_per_s = 4;
    cell.device_utilisation = 0.52;
  }
  CHECK_ERROR(resolved(inputs), ErrorCode::kInvalidInput,
              "sku cpu: measured: expected a capacity at the SLO, found an offered load: the 60 output tok/s of "
              "m/cpu/bf16/server-slo-max are the load that was sent, with which it was busy for 52 % of the time; run "
              "`secondsource run m --backend cpu --variant bf16 --scenario offline:16,server:slo-max --slo "
              "ttft_ms=500,tpot_ms=50,percent=95`, and give that run");
  // Whether that load kept the SLO does not matter.
  inputs.demand.slo.ttft_ms = 50;
  CHECK_ERROR(resolved(inputs), ErrorCode::kInvalidInput, "expected a capacity at the SLO, found an offered load");
  // For batch work alone, the offline cell is enough.
  inputs.demand.options.pop_back();
  const Sku sku = measured_sku(inputs);
  CHECK(sku.full_load.tok_per_s);
  CHECK(sku.at_slo.why_not == "no cell of server:slo-max with valid figures");
  CHECK(sku.faults.empty());
  std::erase_if(inputs.runs[0].summary.cells,
                [](const CellSummary& cell) { return cell.scenario.kind == ScenarioKind::kOffline; });
  CHECK_ERROR(resolved(inputs), ErrorCode::kInvalidInput, "expected a capacity at the SLO, found an offered load");
}

TEST_CASE("what is to be run instead is the run's own command, with other scenarios and the buyer's SLO") {
  BriefInputs inputs = hand_made_inputs();
  RunRecord& record = inputs.runs[0].stored.record;
  const std::string wanted = " --scenario offline:16,server:slo-max --slo ttft_ms=500,tpot_ms=50,percent=95";
  record.command = {"secondsource", "run",       "my bundles/m", "--backend=cpu,onednn",
                    "--scenario",   "server:4",  "--out",        "runs/one",
                    "--slo",        "ttft_ms=1", "--threads",    "2"};
  CHECK(measured_sku(inputs).command ==
        "secondsource run 'my bundles/m' --threads 2 --backend cpu --variant bf16" + wanted);
  record.command = {"secondsource", "merge", "runs/a", "runs/b"};
  CHECK(measured_sku(inputs).command == "secondsource run bundles/m --backend cpu --variant bf16" + wanted);
  record.backends[0].served.emplace().url = "http://h:8000/v1";
  CHECK(measured_sku(inputs).command == "secondsource run bundles/m --system cpu=http://h:8000/v1" + wanted);
  record.command = {"secondsource", "run",           "bundles/m", "--system",           "cpu=http://h:8000,preset=vllm",
                    "--no-golden",  "--repetitions", "1",         "--scenario=server:4"};
  CHECK(measured_sku(inputs).command == "secondsource run bundles/m --system cpu=http://h:8000,preset=vllm" + wanted);
}

TEST_CASE("of a run whose summary alone is stored, its own SLO counts where it covers the buyer's") {
  BriefInputs inputs = hand_made_inputs();
  BriefRun& run = inputs.runs[0];
  run.stored.record.slo = Slo{"own", 500, 50, 95};
  run.summary = summarize(run.stored.record, run.stored.journal);
  run.stored.journal.lines.clear();
  run.has_samples = false;
  CHECK(measured_sku(inputs).at_slo.tok_per_s->value == Approx(4 * 60));
  CHECK(measured_sku(inputs).why_no_power == "only the run's summary is stored");
  run.stored.record.slo->ttft_ms = 501;
  CHECK(measured_sku(inputs).at_slo.why_not ==
        "the run's samples are not stored, and its own SLO does not cover yours");
  run.stored.record.slo.reset();
  CHECK_FALSE(measured_sku(inputs).at_slo.tok_per_s);
}

TEST_CASE("no credit for wrong tokens, and none for unproven ones unless the buyer says so") {
  BriefInputs inputs = hand_made_inputs();
  for (CellSummary& cell : inputs.runs[0].summary.cells) cell.golden = GoldenVerdict::kFailed;
  const Sku wrong = measured_sku(inputs);
  CHECK_FALSE(wrong.full_load.tok_per_s);
  CHECK(wrong.faults ==
        std::vector<std::string>{"no cell with valid figures", "its tokens are wrong (golden check failed)"});
  for (CellSummary& cell : inputs.runs[0].summary.cells) cell.golden = GoldenVerdict::kUnverified;
  CHECK(measured_sku(inputs).faults ==
        std::vector<std::string>{"its tokens are unverified: nothing proves them right"});
  inputs.demand.limits.require_passed_golden = false;
  CHECK(measured_sku(inputs).faults.empty());
}

TEST_CASE("an INVALID cell gives no speed") {
  BriefInputs inputs = hand_made_inputs();
  for (CellSummary& cell : inputs.runs[0].summary.cells) cell.status = CellStatus::kInvalid;
  CHECK_FALSE(measured_sku(inputs).full_load.tok_per_s);
}

TEST_CASE("hardware that is only similar, and other lengths, are assumptions that are said") {
  BriefInputs inputs =
      hand_made_inputs(with(with(kDemand, "hardware: same", "hardware: similar"),
                            "input_tokens: 100, output_tokens: 100", "input_tokens: 300, output_tokens: 100"));
  const Sku sku = measured_sku(inputs);
  REQUIRE(sku.price_assumptions.size() == 1);
  CHECK(sku.price_assumptions[0] == "p/r/cpu/on-demand is as fast as what was measured (Test CPU (AVX-512))");
  REQUIRE(sku.load_assumptions.size() == 1);
  CHECK(sku.load_assumptions[0].find("100 input and 100 output tokens") != std::string::npos);
}

TEST_CASE("a served SKU names its settings, and has the power that an exporter of its devices tells") {
  BriefInputs inputs = hand_made_inputs();
  StoredRun& stored = inputs.runs[0].stored;
  ServedSystem served;
  served.features = ServedFeatures{
      .speculative = {"ngram", SettingSource::kPlan}, .prefix_cache = {"off", SettingSource::kServer}, .kv_cache = {}};
  stored.record.backends[0].served = served;
  Sku sku = measured_sku(inputs);
  REQUIRE(sku.load_assumptions.size() == 1);
  CHECK(
      sku.load_assumptions[0] ==
      "cpu serves with what it was measured with: speculative decoding ngram (plan), prefix cache off (server), KV cache "
      "unknown");
  CHECK_FALSE(sku.power_w);  // the client's machine is not the server's
  for (JournalLine& line : stored.journal.lines) {
    if (auto* repetition = std::get_if<Repetition>(&line))
      repetition->telemetry.push_back({"device_power_w", 70.0, ""});
  }
  stored.record.backends[0].served->telemetry = "http://h:9400/metrics";
  sku = measured_sku(inputs);
  REQUIRE(sku.power_w);
  CHECK(*sku.power_w == 4 * 70);
}

TEST_CASE("a SKU whose price, cell or quote is not there, not the only one or not of one kind is refused") {
  SECTION("price") {
    const BriefInputs inputs = hand_made_inputs(with(kDemand, "price: p/r/new", "price: p/r/newer"));
    CHECK_ERROR(resolved(inputs), ErrorCode::kInvalidInput, "sku new: price: expected a key");
  }
  SECTION("cell") {
    const BriefInputs inputs = hand_made_inputs(with(kDemand, "variant: bf16", "variant: int8"));
    CHECK_ERROR(resolved(inputs), ErrorCode::kInvalidInput,
                "sku cpu: measured: expected a run with the cells of m/cpu/int8");
  }
  SECTION("two runs") {
    BriefInputs inputs = hand_made_inputs();
    inputs.runs.push_back(hand_made_run());
    inputs.runs[1].stored.record.run_id = "fedcba9876543210";
    CHECK_ERROR(resolved(inputs), ErrorCode::kInvalidInput, "several runs (0123456789abcdef, fedcba9876543210)");
    inputs.demand.skus[2].measured->run = "fed";
    CHECK(measured_sku(inputs).run->stored.record.run_id == "fedcba9876543210");
  }
  SECTION("quote") {
    const BriefInputs inputs = hand_made_inputs(with(kDemand, "new-offline", "none-offline"));
    CHECK_ERROR(resolved(inputs), ErrorCode::kInvalidInput, "no row \"none-offline\" among the 4");
  }
  SECTION("quoted for another accelerator than is priced") {
    const BriefInputs inputs = hand_made_inputs(with(kDemand, "price: p/r/new", "price: p/r/old"));
    CHECK_ERROR(resolved(inputs), ErrorCode::kInvalidInput, "quoted for a2, but p/r/old/on-demand is a price of a1");
  }
  SECTION("two systems in one SKU") {
    BriefInputs inputs = hand_made_inputs();
    inputs.quoted[2].accelerators = 8;
    CHECK_ERROR(resolved(inputs), ErrorCode::kInvalidInput, "are not of one model, precision and system");
  }
  SECTION("offline where limits are expected") {
    const BriefInputs inputs = hand_made_inputs(with(kDemand, "slo: new-server", "slo: new-offline"));
    CHECK_ERROR(resolved(inputs), ErrorCode::kInvalidInput, "new-offline is a figure without limits");
  }
}

TEST_CASE("a SKU measured in a variant outside the limits of its quality has that as a fault") {
  BriefInputs inputs = hand_made_inputs();
  for (CellSummary& cell : inputs.runs[0].summary.cells) cell.outside_limits = "mean KL 0.07, at most 0.05 allowed";
  const Sku sku = measured_sku(inputs);
  CHECK(sku.outside_limits == "mean KL 0.07, at most 0.05 allowed");
  REQUIRE(sku.faults.size() == 1);
  CHECK(sku.faults[0].find("outside the limits of its quality: mean KL 0.07") != std::string::npos);
}

TEST_CASE("speeds are of one machine, whatever was quoted or measured, or of those that serve only together") {
  BriefInputs inputs = hand_made_inputs();
  for (QuotedRow& row : inputs.quoted) row.accelerators = 2;
  const auto sku_new = [&] { return std::move(resolved(inputs)).value()[1]; };
  Sku sku = sku_new();
  CHECK(sku.n_units == 1);
  CHECK(sku.at_slo.tok_per_s->value == Approx(320.0 / 2));
  CHECK(sku.scaling == "the 1 accelerator of one new is 0.5 times as fast as the 2 that were quoted");
  CHECK(sku.at_slo.evidence.mark() == "projected from quoted");
  inputs.demand.skus[1].machines_per_replica = 2;
  sku = sku_new();
  CHECK(sku.at_slo.tok_per_s->value == Approx(320));
  CHECK(sku.instances_per_replica == 2);
  CHECK(sku.scaling.empty());
  CHECK(sku.at_slo.evidence.mark() == "quoted");
  // Two systems of three accelerators each fit a machine of eight.
  inputs = hand_made_inputs();
  for (QuotedRow& row : inputs.quoted) row.accelerators = 3;
  inputs.prices[1].accelerators = 8;
  CHECK(sku_new().at_slo.tok_per_s->value == Approx(2 * 320));
}
