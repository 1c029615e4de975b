#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/file.h"
#include "core/random.h"
#include "gate/apply_waivers.h"
#include "gate/compare.h"
#include "gate/metric.h"
#include "support/older_json.h"
#include "support/result.h"
#include "support/source_path.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

SummarizedRun run_at(double slowdown, std::string run_id = "base") {
  return hand_made_one_cell_run(slowdown, [&](RunRecord& record) { record.run_id = std::move(run_id); });
}

GateOptions on(std::string today) {
  GateOptions options;
  options.today = std::move(today);
  return options;
}

Waiver waiver_up_to(double ceiling_percent, std::string expires) {
  return {.id = "W-1",
          .scope = {.backend = "cpu"},
          .ceiling_percent = ceiling_percent,
          .owner = "o",
          .reason = "r",
          .link = "l",
          .expires = std::move(expires)};
}

}  // namespace

TEST_CASE("the same numbers pass, a 50 % slowdown is found and names backend and metric, a speed-up is improved") {
  const SummarizedRun base = run_at(1.0);
  const GateReport same = compare_runs(base, run_at(1.0), on("2026-11-20"));
  CHECK(same.count(Decision::kPass) == 2);
  const GateReport slow = compare_runs(base, run_at(1.5), on("2026-11-20"));
  REQUIRE(slow.verdicts.size() == 2);
  for (const GateVerdict& verdict : slow.verdicts) {
    CHECK(verdict.decision == Decision::kRegressed);
    CHECK(verdict.cell.backend == "cpu");
    CHECK(*verdict.change_percent == Approx(50).epsilon(0.03));
  }
  CHECK(slow.verdicts[0].metric == "cost");
  CHECK(slow.verdicts[1].metric == "ttft");
  const GateReport fast = compare_runs(base, run_at(0.6), on("2026-11-20"));
  CHECK(fast.count(Decision::kPass) == 2);
  CHECK(fast.verdicts[0].improved);
}

TEST_CASE("settings of a served system are compared with a label, and not at all where one side does not say them") {
  const auto served_run = [](const std::optional<ServedFeatures>& features) {
    SummarizedRun run = run_at(1.0);
    run.record.backends[0].served.emplace();
    run.record.backends[0].served->features = features;
    return run;
  };
  const FeatureSetting off{"off", SettingSource::kServer};
  const FeatureSetting ngram{"ngram", SettingSource::kPlan};
  const FeatureSetting unknown;
  const ServedFeatures plain{.speculative = off, .prefix_cache = off, .kv_cache = unknown};
  const ServedFeatures drafting{.speculative = ngram, .prefix_cache = off, .kv_cache = unknown};
  const GateReport same = compare_runs(served_run(plain), served_run(plain), on("2026-11-20"));
  CHECK(same.count(Decision::kPass) == 2);
  CHECK(same.compared == std::vector<std::string>{"cpu: the KV cache is unknown in both"});
  const GateReport differs = compare_runs(served_run(plain), served_run(drafting), on("2026-11-20"));
  CHECK(differs.count(Decision::kPass) == 2);
  REQUIRE(differs.compared.size() == 2);
  CHECK(differs.compared[0] ==
        "cpu: speculative decoding differs: the base has off (server), the candidate ngram (plan)");
  // The source of a setting (server, plan or command) makes no difference.
  const ServedFeatures by_command{
      .speculative = {"off", SettingSource::kCommand}, .prefix_cache = off, .kv_cache = unknown};
  CHECK(compare_runs(served_run(plain), served_run(by_command), on("2026-11-20")).compared.size() == 1);
  // A run that did not record the settings is treated like one whose server did not report them.
  for (const std::optional<ServedFeatures>& silent :
       {std::optional<ServedFeatures>(), std::optional(ServedFeatures())}) {
    const GateReport refused = compare_runs(served_run(silent), served_run(plain), on("2026-11-20"));
    CHECK(refused.verdicts.empty());
    REQUIRE_FALSE(refused.not_comparable.empty());
    CHECK(refused.not_comparable[0].find("speculative decoding is off (server) in the candidate and unknown in the "
                                         "base: set speculative in the plan of both") != std::string::npos);
  }
  CHECK(compare_runs(served_run(std::nullopt), served_run(std::nullopt), on("2026-11-20")).count(Decision::kPass) == 2);
}

TEST_CASE("a change that another sitting could explain is inconclusive, never a pass nor a failure") {
  const GateReport report = compare_runs(run_at(1.0), run_at(1.12), on("2026-11-20"));
  CHECK(report.count(Decision::kInconclusive) == 2);
}

TEST_CASE("a busy machine widens the interval instead of failing the candidate") {
  SummarizedRun busy = run_at(1.5);
  for (CellSummary& cell : busy.summary.cells) cell.others_cpu_share = 0.45;
  const GateReport report = compare_runs(run_at(1.0), busy, on("2026-11-20"));
  CHECK(report.count(Decision::kRegressed) == 0);
  CHECK(report.count(Decision::kInconclusive) == 2);
  CHECK(report.verdicts[0].why.find("other work took 45 % of the time") != std::string::npos);
}

TEST_CASE("two stored runs can tell what docs/gate.md says") {
  // The bounds were computed with SciPy for repetitions without spread. With s = sqrt(2 * 0.04^2) and t = scipy.stats.t.ppf, a
  // regression is found from ln 1.05 + t(0.9975, df) * s on, and a change up to ln 1.15 - t(0.95, df) * s passes.
  struct Case {
    int n;
    double passes_up_to, found_from;
  };
  for (const Case& one : {Case{5, 1.0352, 1.3042}, Case{7, 1.0397, 1.2747}, Case{20, 1.0454, 1.2428}}) {
    CAPTURE(one.n);
    const auto decision_at = [&](double ratio) {
      const auto run = [&](double scale) {
        SummarizedRun made = run_at(1.0);
        made.summary.cells[0].output_tok_per_s_by_repetition.assign(static_cast<std::size_t>(one.n), 100 / scale);
        return made;
      };
      return compare_runs(run(1.0), run(ratio), on("2026-11-20")).verdicts[0].decision;
    };
    CHECK(decision_at(one.passes_up_to * 0.999) == Decision::kPass);
    CHECK(decision_at(one.passes_up_to * 1.001) == Decision::kInconclusive);
    CHECK(decision_at(one.found_from * 0.999) == Decision::kInconclusive);
    CHECK(decision_at(one.found_from * 1.001) == Decision::kRegressed);
  }
}

TEST_CASE("processes on CPUs that the measurement does not need widen nothing") {
  SummarizedRun busy = run_at(1.5);
  for (CellSummary& cell : busy.summary.cells) {
    cell.others_cpu_share = 0.45;
    cell.time_lost = 0.01;
  }
  const GateReport report = compare_runs(run_at(1.0), busy, on("2026-11-20"));
  CHECK(report.count(Decision::kRegressed) == 2);
}

TEST_CASE("of conversations the first tokens of later turns are judged, and no cost where people think") {
  const auto talks = [](double slowdown, double think_s) {
    SummarizedRun run = run_at(1.0);
    for (CellSummary& cell : run.summary.cells) {
      cell.scenario.kind = ScenarioKind::kOffline;
      cell.scenario.turns = 3;
      cell.scenario.think_s = think_s;
      cell.tpot_p50_ns_by_repetition = {1e6, 1.01e6, 0.99e6, 1.02e6, 0.98e6};
      cell.conversation.emplace().later_turns_ttft_p50_ns_by_repetition = {
          5e6 * slowdown, 5.05e6 * slowdown, 4.95e6 * slowdown, 5.1e6 * slowdown, 4.9e6 * slowdown};
    }
    return run;
  };
  const GateReport thinking = compare_runs(talks(1.0, 0.5), talks(1.5, 0.5), on("2026-11-20"));
  REQUIRE(thinking.verdicts.size() == 2);
  CHECK(thinking.verdicts[0].metric == "ttft_later");
  CHECK(*thinking.verdicts[0].change_percent == Approx(50).epsilon(0.01));
  CHECK(thinking.verdicts[1].metric == "tpot");
  CHECK(thinking.count(Decision::kRegressed) == 1);
  const GateReport full = compare_runs(talks(1.0, 0), talks(1.0, 0), on("2026-11-20"));
  REQUIRE(full.verdicts.size() == 2);
  CHECK(full.verdicts[0].metric == "cost");
  CHECK(full.verdicts[1].metric == "ttft_later");
  CHECK(full.count(Decision::kRegressed) == 0);
}

TEST_CASE("at a prescribed rate latencies are judged, since the output rate is that of the load") {
  const auto at_rate = [](double slowdown, bool seeks) {
    SummarizedRun run = run_at(slowdown);
    for (CellSummary& cell : run.summary.cells) {
      cell.scenario.kind = ScenarioKind::kServer;
      cell.scenario.seeks_slo_rate = seeks;
      cell.output_tok_per_s_by_repetition.assign(5, 100);
      cell.tpot_p50_ns_by_repetition = {1e6 * slowdown, 1.01e6 * slowdown, 0.99e6 * slowdown, 1.02e6 * slowdown,
                                        0.98e6 * slowdown};
    }
    return run;
  };
  const GateReport slow = compare_runs(at_rate(1.0, false), at_rate(1.5, false), on("2026-11-20"));
  REQUIRE(slow.verdicts.size() == 2);
  CHECK(slow.verdicts[0].metric == "ttft");
  CHECK(slow.verdicts[1].metric == "tpot");
  CHECK(slow.count(Decision::kRegressed) == 2);
  CHECK(*slow.verdicts[1].change_percent == Approx(50).epsilon(0.01));
  // A rate found by searching is a property of the system, so its cost can regress.
  CHECK(compare_runs(at_rate(1.0, true), at_rate(1.0, true), on("2026-11-20")).verdicts[0].metric == "cost");
}

TEST_CASE("a machine that itself became slower widens the interval, by its clock or by what is read from memory") {
  const auto at_rates = [](double slowdown, double read_bytes_per_s, double f32_flops, double read_fraction) {
    SummarizedRun run = run_at(slowdown);
    for (CellSummary& cell : run.summary.cells) {
      cell.machine_read_bytes_per_s = read_bytes_per_s;
      cell.machine_f32_flops = f32_flops;
      cell.read_fraction = read_fraction;
    }
    return run;
  };
  const auto judged = [&](const SummarizedRun& candidate, double read_fraction) {
    return compare_runs(at_rates(1.0, 40e9, 100e9, read_fraction), candidate, on("2026-11-20"));
  };
  const GateReport quiet = judged(at_rates(1.5, 39e9, 101e9, 0.9), 0.9);
  CHECK(quiet.count(Decision::kRegressed) == 2);
  CHECK(quiet.verdicts[0].why.find("machine itself") == std::string::npos);

  const GateReport slower_clock = judged(at_rates(1.5, 40e9, 67e9, 0.1), 0.1);
  CHECK(slower_clock.count(Decision::kInconclusive) == 2);
  CHECK(slower_clock.verdicts[0].why.find("the machine itself changed by -33 %") != std::string::npos);
  CHECK(judged(at_rates(1.0, 40e9, 67e9, 0.1), 0.1).count(Decision::kInconclusive) == 2);  // and not a pass either

  // When the weights are in a cache, the read rate of the memory has little effect.
  CHECK(judged(at_rates(1.5, 27e9, 100e9, 0.9), 0.9).count(Decision::kInconclusive) == 2);
  CHECK(judged(at_rates(1.5, 27e9, 100e9, 0.1), 0.1).count(Decision::kRegressed) == 2);
}

TEST_CASE("what differs in bundle, device, options, host or method is refused, and so is nothing in common") {
  const SummarizedRun base = run_at(1.0);
  const auto reason = [&](auto change) {
    SummarizedRun candidate = run_at(1.0);
    change(candidate);
    const GateReport report = compare_runs(base, candidate, on("2026-11-20"));
    CHECK(report.verdicts.empty());
    REQUIRE_FALSE(report.not_comparable.empty());
    return report.not_comparable.front();
  };
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(has(reason([](auto& run) { run.record.bundles[0].content_sha256 = "b"; }), "bundle's content"));
  // Only one of the two runs records how its weights were quantized at their source.
  const auto other_scheme = [](auto& run) {
    run.record.bundles[0].content_sha256 = "b";
    run.record.bundles[0].source_quantization = "Q4_K, Q6_K";
  };
  CHECK(has(reason(other_scheme), "content differs, and so does the quantization of its weights at their source"));
  CHECK(has(reason(other_scheme), "\"Q4_K, Q6_K\""));
  CHECK(has(reason(other_scheme), "none is recorded"));
  CHECK(has(reason([](auto& run) { run.record.backends[0].device.name = "other"; }), "device differs"));
  CHECK(has(reason([](auto& run) { run.record.backends[0].options = {{"threads", "1"}}; }), "options differ"));
  CHECK(has(reason([](auto& run) { run.record.host[0].value = "Other CPU"; }), "cpu_model"));
  CHECK(has(reason([](auto& run) { run.record.host.push_back({"affinity_cpus", "0", ""}); }), "host affinity_cpus"));
  CHECK(has(reason([](auto& run) { run.record.method_version = 99; }), "method version"));
  CHECK(has(reason([](auto& run) { run.summary.cells[0].scenario.n_output_tokens = 7; }), "lengths differ"));
  // The cost of a token would hide a slower decoding behind shorter answers, and the other way round.
  CHECK(has(reason([](auto& run) { *run.summary.cells[0].mean_output_tokens *= 0.25; }),
            "the cost of a token depends on how many an answer has"));
  CHECK(has(reason([](auto& run) { run.summary.cells[0].scenario.trace_sha256 = "c"; }), "recorded arrivals differ"));
  CHECK(has(reason([](auto& run) { run.summary.cells[0].key.variant = "int8"; }), "no such cell"));
  CHECK(has(reason([](auto& run) { run.summary.cells[0].golden = GoldenVerdict::kUnverified; }), "unverified"));
  CHECK(has(reason([](auto& run) { run.summary.cells[0].status = CellStatus::kInvalid; }), "INVALID"));
  // The reason is the check that rejects the cell, not the first that noticed something.
  CHECK(has(reason([](auto& run) {
              run.summary.cells[0].status = CellStatus::kInvalid;
              run.summary.cells[0].notes = {"suspect: foreign_cpu: waited", "INVALID: tokens: one too few"};
            }),
            ": INVALID: tokens: one too few"));
}

TEST_CASE("answers that differ in length by a few percent are compared") {
  SummarizedRun candidate = run_at(1.0);
  *candidate.summary.cells[0].mean_output_tokens *= 0.97;
  CHECK_FALSE(compare_runs(run_at(1.0), candidate, on("2026-11-20")).verdicts.empty());
}

TEST_CASE("rates that were sought under two promises are not compared") {
  const auto sought_under = [](std::optional<Slo> slo) {
    SummarizedRun run = run_at(1.0);
    for (CellSummary& cell : run.summary.cells) cell.scenario.seeks_slo_rate = true;
    run.record.slo = std::move(slo);
    return run;
  };
  const Slo promise{.name = "a", .ttft_ms = 500, .tpot_ms = 30};
  const auto n_refused = [&](std::optional<Slo> slo) {
    return compare_runs(sought_under(promise), sought_under(std::move(slo)), on("2026-11-20")).not_comparable.size();
  };
  CHECK(n_refused(Slo{.name = "another name", .ttft_ms = 500, .tpot_ms = 30}) == 0);
  CHECK(n_refused(Slo{.name = "a", .ttft_ms = 400, .tpot_ms = 30}) > 0);
  CHECK(n_refused(std::nullopt) > 0);
}

TEST_CASE("a planted fault may differ, since it is there to be found") {
  SummarizedRun candidate = run_at(1.5);
  candidate.record.backends[0].options = {{"fault", "slow:50"}};
  CHECK(compare_runs(run_at(1.0), candidate, on("2026-11-20")).count(Decision::kRegressed) == 2);
}

TEST_CASE("wrong tokens and a backend that failed are never a pass") {
  SummarizedRun wrong = run_at(1.0);
  wrong.summary.cells[0].golden = GoldenVerdict::kFailed;
  CHECK(compare_runs(run_at(1.0), wrong, on("2026-11-20")).wrong_tokens.size() == 1);
  SummarizedRun crashed = run_at(1.0);
  crashed.summary.cells[0].status = CellStatus::kFailed;
  CHECK(compare_runs(run_at(1.0), crashed, on("2026-11-20")).failed.size() == 1);
}

TEST_CASE("a repetition without a token or a time is never left out silently: its cell is not comparable") {
  const auto refused = [](const SummarizedRun& base, const SummarizedRun& candidate) {
    const GateReport report = compare_runs(base, candidate, on("2026-11-20"));
    CHECK(report.verdicts.empty());
    CHECK_FALSE(report.not_comparable.empty());
    return report.not_comparable.empty() ? std::string() : report.not_comparable.front();
  };
  SummarizedRun stalls = run_at(1.0);
  std::vector<double>& rates = stalls.summary.cells[0].output_tok_per_s_by_repetition;
  REQUIRE(rates.size() > 2);
  rates[0] = rates[1] = 0;
  const std::string end = fmt::format("cost: 2 of {} repetitions of the ", rates.size());
  CHECK(refused(run_at(1.0), stalls).find(end + "candidate recorded an output rate that is not above 0") !=
        std::string::npos);
  CHECK(refused(stalls, run_at(1.0)).find(end + "base recorded an output rate") != std::string::npos);
  SummarizedRun timeless = run_at(1.0);
  timeless.summary.cells[0].ttft_p50_ns_by_repetition[0] = 0;
  CHECK(refused(run_at(1.0), timeless).find("ttft: 1 of") != std::string::npos);
  // `ab` asks the same of each process.
  const CellSummary& cell = timeless.summary.cells[0];
  const auto& [cost, ttft] = gate_metrics_of(cell.scenario);
  CHECK_FALSE(cost.why_without_value(cell, ""));
  CHECK(ttft.why_without_value(cell, "") == fmt::format("ttft: 1 of {} repetitions recorded a time that is not above 0",
                                                        cell.ttft_p50_ns_by_repetition.size()));
}

TEST_CASE("no state of the base hides what is wrong with the candidate") {
  using Change = void (*)(CellSummary&);
  const auto run_with = [](Change change) {
    SummarizedRun run = run_at(1.0);
    change(run.summary.cells[0]);
    return run;
  };
  const std::vector<Change> states = {
      [](CellSummary& cell) { cell.golden = GoldenVerdict::kFailed; },
      [](CellSummary& cell) { cell.status = CellStatus::kFailed; },
      [](CellSummary& cell) { cell.status = CellStatus::kMissing; },
      [](CellSummary& cell) { cell.status = CellStatus::kPartial; },
      [](CellSummary& cell) { cell.status = CellStatus::kInvalid; },
      [](CellSummary& cell) { cell.key.backend = "gpu"; },
      [](CellSummary& cell) { cell.golden = GoldenVerdict::kUnverified; },
      [](CellSummary&) {},
  };
  for (std::size_t i = 0; i < states.size(); ++i) {
    CAPTURE(i);
    const SummarizedRun base = run_with(states[i]);
    CHECK(compare_runs(base, run_with(states[0]), on("2026-11-20")).wrong_tokens ==
          std::vector<std::string>{"tiny/cpu/bf16/single-stream"});
    for (const std::size_t failed : {1, 2, 3}) {
      CHECK(compare_runs(base, run_with(states[failed]), on("2026-11-20")).failed.size() == 1);
    }
    const GateReport invalid = compare_runs(base, run_with(states[4]), on("2026-11-20"));
    const std::vector<std::string>& reasons = invalid.not_comparable;
    CHECK(std::ranges::find(reasons, "tiny/cpu/bf16/single-stream: INVALID") != reasons.end());
  }
  SummarizedRun other_host = run_with(states[0]);
  other_host.record.host[0].value = "Other CPU";
  const GateReport report = compare_runs(run_at(1.0), other_host, on("2026-11-20"));
  CHECK(report.wrong_tokens.size() == 1);
  CHECK(report.not_comparable.size() == 1);
}

TEST_CASE("a cell that the base planned and did not measure is not comparable") {
  for (const auto& [status, word] :
       {std::pair(CellStatus::kFailed, "crashed: signal 11"), std::pair(CellStatus::kMissing, "missing"),
        std::pair(CellStatus::kPartial, "partial"), std::pair(CellStatus::kInvalid, "INVALID")}) {
    SummarizedRun base = run_at(1.0);
    // A second cell passes, so that the first one alone decides.
    SummarizedRun candidate = run_at(1.0);
    for (SummarizedRun* run : {&base, &candidate}) {
      run->summary.cells.push_back(run->summary.cells[0]);
      run->summary.cells[1].key.scenario = "offline-b2";
    }
    base.summary.cells[0].status = status;
    if (status == CellStatus::kFailed) base.summary.cells[0].notes = {word};
    const GateReport report = compare_runs(base, candidate, on("2026-11-20"));
    CHECK(report.not_comparable ==
          std::vector<std::string>{fmt::format("tiny/cpu/bf16/single-stream: the base did not measure it: {}", word)});
    CHECK(report.count(Decision::kPass) == 2);
    CHECK(report.not_judged.empty());
  }
}

TEST_CASE("what only the candidate has is named and fails nothing, if its tokens are proven right") {
  SummarizedRun candidate = run_at(1.0);
  candidate.summary.cells.push_back(candidate.summary.cells[0]);
  CellSummary& added = candidate.summary.cells[1];
  added.key.backend = "gpu";
  const GateReport report = compare_runs(run_at(1.0), candidate, on("2026-11-20"));
  CHECK(report.not_judged == std::vector<std::string>{"tiny/gpu/bf16/single-stream: the base has no such cell"});
  CHECK(report.not_comparable.empty());
  CHECK(report.count(Decision::kPass) == 2);

  added.golden = GoldenVerdict::kNotRun;
  CHECK(
      compare_runs(run_at(1.0), candidate, on("2026-11-20")).not_comparable.front() ==
      "tiny/gpu/bf16/single-stream: the base has no such cell, and the bundle is unverified (--allow-unverified judges "
      "it all the same)");
  GateOptions allowed = on("2026-11-20");
  allowed.allow_unverified = true;
  CHECK(compare_runs(run_at(1.0), candidate, allowed).not_judged.size() == 1);
  added.golden = GoldenVerdict::kFailed;
  CHECK(compare_runs(run_at(1.0), candidate, on("2026-11-20")).wrong_tokens.front() == "tiny/gpu/bf16/single-stream");
}

TEST_CASE("an unavailable backend counts where it was named, and where the base has its cells") {
  SummarizedRun with = run_at(1.0);
  with.summary.cells.push_back(with.summary.cells[0]);
  with.summary.cells[1].key.backend = "gpu";
  SummarizedRun without = run_at(1.0);
  without.record.backends.push_back(without.record.backends[0]);
  without.record.backends[1].name = "gpu";
  without.record.backends[1].unavailable = "no driver";
  CHECK(compare_runs(with, without, on("2026-11-20")).failed ==
        std::vector<std::string>{"tiny/gpu/bf16/single-stream: unavailable: no driver"});
  const std::string reason = "tiny/gpu/bf16/single-stream: the base did not measure it: unavailable: no driver";
  CHECK(compare_runs(without, with, on("2026-11-20")).not_judged == std::vector<std::string>{reason});
  without.record.settings.named_backends = {"gpu"};
  CHECK(compare_runs(without, with, on("2026-11-20")).not_comparable == std::vector<std::string>{reason});
}

TEST_CASE("a variant that its backend does not support fails nothing, unless the base measured it") {
  const auto run_of = [](bool is_declined, FailureKind kind) {
    SummarizedRun run = run_at(1.0);
    run.summary.cells.push_back(run.summary.cells[0]);
    CellSummary& cell = run.summary.cells[1];
    cell.key.variant = "fp8";
    if (!is_declined) return run;
    cell.status = CellStatus::kFailed;
    cell.golden = GoldenVerdict::kNotRun;
    cell.notes = {"unsupported: no fp8"};
    run.summary.failures.push_back({.backend = "cpu", .cell = "tiny/cpu/fp8", .kind = kind, .message = "no fp8"});
    return run;
  };
  const SummarizedRun measured = run_of(false, FailureKind::kUnsupported);
  for (const FailureKind kind : {FailureKind::kUnsupported, FailureKind::kNoRate}) {
    const SummarizedRun declined = run_of(true, kind);
    const GateReport both = compare_runs(declined, declined, on("2026-11-20"));
    CHECK(both.not_judged == std::vector<std::string>{"tiny/cpu/fp8/single-stream: unsupported: no fp8"});
    CHECK(both.failed.size() + both.not_comparable.size() == 0);
    CHECK(compare_runs(measured, declined, on("2026-11-20")).failed.size() == 1);
    CHECK(compare_runs(declined, measured, on("2026-11-20")).not_judged ==
          std::vector<std::string>{"tiny/cpu/fp8/single-stream: the base did not measure it: unsupported: no fp8"});
  }
  // What was asked for by name has to be there.
  SummarizedRun named = run_of(true, FailureKind::kUnsupported);
  named.record.settings.named_backends = {"cpu"};
  CHECK(compare_runs(named, named, on("2026-11-20")).failed.size() == 1);
  CHECK(compare_runs(named, measured, on("2026-11-20")).not_comparable.size() == 1);
  const SummarizedRun crashed = run_of(true, FailureKind::kCrash);
  CHECK(compare_runs(crashed, crashed, on("2026-11-20")).failed.size() == 1);
  CHECK(compare_runs(crashed, measured, on("2026-11-20")).not_comparable.size() == 1);
}

TEST_CASE("a verdict names its threshold in full") {
  GateOptions options = on("2026-11-20");
  for (const auto& [threshold, text] : {std::pair(0.001, "threshold +0.1 %"), std::pair(0.1, "threshold +10 %"),
                                        std::pair(0.125, "threshold +12.5 %")}) {
    options.rule.threshold = threshold;
    const std::string why = compare_runs(run_at(1.0), run_at(1.5), options).verdicts.front().why;
    CAPTURE(why);
    CHECK(why.ends_with(text));
  }
}

TEST_CASE("a ceiling is compared with the change as it is printed") {
  GateReport report;
  report.verdicts.push_back({.cell = {"tiny", "cpu", "bf16", "single-stream"},
                             .metric = "cost",
                             .decision = Decision::kRegressed,
                             .change_percent = 40.04});
  apply_waivers(std::vector{waiver_up_to(40, "2026-11-20")}, "2026-11-20", report);
  CHECK(report.waiver_errors.empty());
  CHECK(report.count_waived() == 1);
  report.verdicts[0].waived_by.clear();
  report.verdicts[0].change_percent = 40.06;
  apply_waivers(std::vector{waiver_up_to(40, "2026-11-20")}, "2026-11-20", report);
  CHECK(report.count_waived() == 0);
  REQUIRE(report.waiver_errors.size() == 1);
  CHECK(report.waiver_errors[0].find("+40.1 % exceeds its ceiling of 40 %") != std::string::npos);
  report.verdicts[0].change_percent = 40.055;
  apply_waivers(std::vector{waiver_up_to(40.058, "2026-11-20")}, "2026-11-20", report);
  CHECK(report.count_waived() == 1);
}

TEST_CASE("a waiver without a verdict to match says so, whether its backend has no verdict or it names none") {
  SummarizedRun wrong = run_at(1.0);
  wrong.summary.cells[0].golden = GoldenVerdict::kFailed;
  GateOptions options = on("2026-11-20");
  options.waivers = {waiver_up_to(60, "2026-11-20"), waiver_up_to(60, "2026-11-20")};
  options.waivers[1].id = "W-2";
  options.waivers[1].scope = {.metric = "cost"};
  const GateReport report = compare_runs(run_at(1.0), wrong, options);
  CHECK(report.waiver_errors.empty());
  CHECK(report.waiver_notes == std::vector<std::string>{"waiver W-1: no cell of its backend \"cpu\" was judged",
                                                        "waiver W-2: no cell was judged"});
}

TEST_CASE("a waiver covers a regression up to its ceiling and its last day") {
  GateOptions options = on("2026-11-20");
  options.waivers = {waiver_up_to(60, "2026-11-20")};
  const GateReport waived = compare_runs(run_at(1.0), run_at(1.5), options);
  CHECK(waived.count(Decision::kRegressed) == 0);
  CHECK(waived.count_waived() == 2);
  CHECK(waived.waiver_errors.empty());

  options.waivers = {waiver_up_to(60, "2026-11-19")};
  const GateReport expired = compare_runs(run_at(1.0), run_at(1.5), options);
  CHECK(expired.count(Decision::kRegressed) == 2);
  CHECK(expired.waiver_errors.front().find("expired on 2026-11-19") != std::string::npos);
  CHECK(compare_runs(run_at(1.0), run_at(1.0), options).waiver_errors.size() == 1);  // even if no cell needs the waiver

  options.waivers = {waiver_up_to(20, "2027-01-01")};
  const GateReport exceeded = compare_runs(run_at(1.0), run_at(1.5), options);
  CHECK(exceeded.count(Decision::kRegressed) == 2);
  CHECK(exceeded.waiver_errors.front().find("exceeds its ceiling of 20 %") != std::string::npos);

  options.waivers = {waiver_up_to(20, "2027-01-01")};
  options.waivers[0].scope.variant = "int8";
  const GateReport unmatched = compare_runs(run_at(1.0), run_at(1.0), options);
  CHECK(unmatched.waiver_errors.front().find("matches no compared cell") != std::string::npos);
  CHECK(unmatched.waiver_notes.empty());

  options.waivers[0].scope.backend = "cuda";
  const GateReport elsewhere = compare_runs(run_at(1.0), run_at(1.0), options);
  CHECK(elsewhere.waiver_errors.empty());
  CHECK(elsewhere.waiver_notes.front() == "waiver W-1: no cell of its backend \"cuda\" was judged");

  options.waivers = {waiver_up_to(60, "2027-01-01"), waiver_up_to(70, "2027-01-01")};
  options.waivers[1].id = "W-2";
  options.waivers[1].scope.metric = "ttft";
  const GateReport twice = compare_runs(run_at(1.0), run_at(1.5), options);
  CHECK(twice.count(Decision::kRegressed) == 1);
  CHECK(twice.verdicts[0].waived_by == "W-1");
  CHECK(twice.waiver_errors.front() == "waiver W-2: tiny/cpu/bf16/single-stream ttft: waiver W-1 covers it too");
}

TEST_CASE("A/A runs under the sitting error that the rule assumes hardly ever fail, and +50 % nearly always does") {
  // 500 families with 16 cells and 5 repetitions each, 5 % run noise, and a sitting error of 4 % common to the cells of
  // a run.
  RandomStream random(11);
  const auto normal = [&] {
    return std::sqrt(-2 * std::log(1 - random.next_unit())) * std::cos(6.283185307179586 * random.next_unit());
  };
  const GateRule rule;
  const Look look{.alpha = rule.family_alpha / 16, .is_last = false};
  const auto verdict_on = [&](const std::vector<double>& a, const std::vector<double>& b) {
    return decide(evidence_of(*estimate_shift(a, b, rule.sitting_sigma), rule), rule, look);
  };
  int false_families = 0;
  int found = 0;
  for (int family = 0; family < 500; ++family) {
    bool failed = false;
    const double base_sitting = rule.sitting_sigma * normal();
    const double candidate_sitting = rule.sitting_sigma * normal();
    for (int cell = 0; cell < 16; ++cell) {
      std::vector<double> a(5);
      std::vector<double> b(5);
      for (double& x : a) x = base_sitting + 0.05 * normal();
      for (double& x : b) x = candidate_sitting + 0.05 * normal();
      failed = failed || verdict_on(a, b) == Decision::kRegressed;
      if (cell != 0) continue;
      for (double& x : b) x += std::log(1.5);
      found += verdict_on(a, b) == Decision::kRegressed;
    }
    false_families += failed;
  }
  CAPTURE(false_families, found);
  CHECK(false_families <= 5);  // the aim is fewer than 1 in 100
  CHECK(found >= 400);
}

TEST_CASE("the published schema of a gate's verdict is the one that its record gives") {
  const auto published = read_file(test::source_path("reports/schemas/gate.schema.json"));
  REQUIRE_OK(published);
  CHECK(*published == gate_schema());
}

TEST_CASE("a gate's report survives the way to JSON and back") {
  const GateReport report = compare_runs(run_at(1), run_at(1.5, "candidate"), {.rule = {}, .waivers = {}, .today = ""});
  REQUIRE_FALSE(report.verdicts.empty());
  const auto back = gate_report_from_json(to_json(report), "gate.json");
  REQUIRE_OK(back);
  CHECK(to_json(*back) == to_json(report));
  CHECK(back->method == GateMethod::kStoredRuns);
  std::string unknown = to_json(report);
  unknown.replace(unknown.find("stored runs"), 11, "by guessing");
  CHECK_ERROR(gate_report_from_json(unknown, "gate.json"), ErrorCode::kInvalidInput,
              "gate.json: method: expected one of stored runs interleaved pairs");
}

TEST_CASE("an opportunistic variant is reported and fails no gate, unless it is asked to") {
  SummarizedRun base = run_at(1.0);
  base.summary.cells[0].tier = Tier::kOpportunistic;
  GateOptions asked = on("2026-11-20");
  asked.judge_opportunistic = true;
  SECTION("slower") {
    const GateReport slow = compare_runs(base, run_at(1.5), on("2026-11-20"));
    REQUIRE(slow.verdicts.size() == 2);
    CHECK(slow.verdicts[0].decision == Decision::kRegressed);
    CHECK_FALSE(slow.verdicts[0].decides);
    CHECK(slow.count(Decision::kRegressed) == 0);
    CHECK(compare_runs(base, run_at(1.5), asked).count(Decision::kRegressed) == 2);
  }
  SECTION("slower than its waiver allows") {
    GateOptions waived = on("2026-11-20");
    waived.waivers = {waiver_up_to(20, "2027-01-01")};
    CHECK(compare_runs(base, run_at(1.5), waived).waiver_errors.empty());
    asked.waivers = waived.waivers;
    CHECK(compare_runs(base, run_at(1.5), asked).waiver_errors.size() == 2);
  }
  SECTION("inconclusive") {
    CHECK(compare_runs(base, run_at(1.12), on("2026-11-20")).count(Decision::kInconclusive) == 0);
    CHECK(compare_runs(base, run_at(1.12), asked).count(Decision::kInconclusive) == 2);
  }
  SECTION("wrong, failed or invalid") {
    for (const auto& change :
         std::initializer_list<void (*)(CellSummary&)>{[](CellSummary& cell) { cell.golden = GoldenVerdict::kFailed; },
                                                       [](CellSummary& cell) { cell.status = CellStatus::kFailed; },
                                                       [](CellSummary& cell) { cell.status = CellStatus::kInvalid; }}) {
      SummarizedRun candidate = run_at(1.0);
      change(candidate.summary.cells[0]);
      const GateReport report = compare_runs(base, candidate, on("2026-11-20"));
      CHECK(report.without_effect.size() == 1);
      CHECK(report.wrong_tokens.size() + report.failed.size() + report.not_comparable.size() == 0);
      const GateReport judged = compare_runs(base, candidate, asked);
      CHECK(judged.wrong_tokens.size() + judged.failed.size() + judged.not_comparable.size() >= 1);
    }
  }
  SECTION("a blessed one beside it decides as before") {
    SummarizedRun both = run_at(1.0);
    SummarizedRun slow = run_at(1.5);
    for (SummarizedRun* run : {&both, &slow}) {
      CellSummary int4 = run->summary.cells[0];
      int4.key.variant = "int4";
      int4.tier = Tier::kOpportunistic;
      run->summary.cells.push_back(int4);
    }
    const GateReport report = compare_runs(both, slow, on("2026-11-20"));
    CHECK(report.verdicts.size() == 4);
    CHECK(report.count(Decision::kRegressed) == 2);
  }
}

TEST_CASE("a gate's report of the first release is read, and all its verdicts decide") {
  GateReport report = compare_runs(run_at(1), run_at(1.5), on("2026-11-20"));
  for (GateVerdict& verdict : report.verdicts) verdict.decides = false;
  const std::string old = without_members(to_json(report), {"decides", "without_effect", "waiver_notes"});
  const auto read = gate_report_from_json(old, "gate.json");
  REQUIRE_OK(read);
  CHECK(read->count(Decision::kRegressed) == 2);
  CHECK(read->without_effect.empty());
}
