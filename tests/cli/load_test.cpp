// Tests the special loads of `secondsource run` (traces, batching, shared prefixes, rate search): what they send and
// what is recorded.

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "expectations.h"
#include "record/record_json.h"
#include "summary/summarize.h"
#include "support/assets.h"
#include "support/bundles.h"
#include "support/catch.h"
#include "support/program.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

using test::kTinyBundle;

/// Runs these scenarios on the reference backend. The exit status must be 0, or 6 if other load disturbed the run.
StoredRun run_of(const test::ScratchFolder& scratch, const std::string& scenarios,
                 const std::vector<std::string>& more = {}, int n_repetitions = 1) {
  std::vector<std::string> arguments = {"run",           kTinyBundle,
                                        "--backend",     "reference",
                                        "--variant",     "bf16",
                                        "--scenario",    scenarios,
                                        "--repetitions", std::to_string(n_repetitions),
                                        "--out",         (scratch.path() / "run").string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const test::ProgramRun run = test::run_program(arguments);
  CAPTURE(run.out, run.err);
  REQUIRE((run.status == 0 || run.status == 6));
  auto stored = read_run(scratch.path() / "run");
  REQUIRE(stored);
  return *std::move(stored);
}

template <typename T>
std::vector<T> journal_lines(const StoredRun& run, const std::string& scenario) {
  std::vector<T> lines;
  for (const JournalLine& line : run.journal.lines) {
    const auto* one = std::get_if<T>(&line);
    if (one != nullptr && one->cell.ends_with("/" + scenario)) lines.push_back(*one);
  }
  return lines;
}

TEST_CASE("run: constant arrivals come equally spaced, and the record has both rates") {
  const test::ScratchFolder scratch;
  const StoredRun run = run_of(scratch, "server:20+constant+requests=9@/2");
  const auto samples = journal_lines<RequestSample>(run, "server-r20+constant");
  REQUIRE(samples.size() == 9);
  for (std::size_t i = 1; i < samples.size(); ++i) {
    CHECK(samples[i].scheduled_ns - samples[i - 1].scheduled_ns == 50'000'000);
  }
  const auto ends = journal_lines<Repetition>(run, "server-r20+constant");
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].rate_per_s == 20.0);
  CHECK(ends[0].achieved_rate_per_s.value_or(0) > 0);
  CHECK_FALSE(ends[0].checks.empty());
}

TEST_CASE("run: a recorded load is replayed with its arrivals and lengths, up to the limits") {
  const test::ScratchFolder scratch;
  const std::string trace = (scratch.path() / "azure.csv").string();
  std::ofstream(trace) << "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.0,12,3\n"
                          "2023-11-16 18:15:47.0,500,2\n2023-11-16 18:15:48.5,20,99\n";
  const StoredRun run = run_of(scratch, "server:trace=" + trace + "+speed=10@64/4");
  const auto samples = journal_lines<RequestSample>(run, "server-trace=azure+speed=10");
  REQUIRE(samples.size() == 3);
  CHECK(samples[1].scheduled_ns == 100'000'000);
  CHECK(samples[2].scheduled_ns == 250'000'000);
  CHECK(samples[0].n_prompt_tokens == 12);
  CHECK(samples[1].n_prompt_tokens == 64);
  CHECK(samples[0].n_output_tokens == 3);
  CHECK(samples[2].n_output_tokens == 4);
  CHECK(run.record.cells[0].scenario.trace_sha256.size() == 64);
}

/// Writes a recorded load of two requests: one of 60 tokens, and 1 ms later one of 2 tokens.
std::string long_and_short(const test::ScratchFolder& scratch) {
  const std::string trace = (scratch.path() / "two.csv").string();
  std::ofstream(trace) << "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.000,16,60\n"
                          "2023-11-16 18:15:46.001,16,2\n";
  return trace;
}

TEST_CASE("run: a continuous batch takes a request in, a static one drains first, a dynamic one waits for company") {
  for (const std::string batching : {"continuous", "static", "dynamic"}) {
    CAPTURE(batching);
    const test::ScratchFolder scratch;
    const StoredRun run =
        run_of(scratch, "server:trace=" + long_and_short(scratch) + "@16/60", {"--batching", batching});
    const auto samples = journal_lines<RequestSample>(
        run, batching == "continuous" ? "server-trace=two" : "server-trace=two+" + batching);
    REQUIRE(samples.size() == 2);
    const bool drained = *samples[1].first_token_ns > *samples[0].last_token_ns;
    CHECK(drained == (batching == "static"));
    // The first request is alone in the queue, so it waits for the full delay of a dynamic batch.
    if (batching == "dynamic") CHECK(*samples[0].ttft_e2e_ns() >= 10'000'000);
  }
}

/// A request and its result without times. This must not depend on which other scenarios the run measures.
using Outcome = std::tuple<std::string, std::int32_t, std::int64_t, std::int64_t, std::optional<RequestFinish>,
                           std::optional<std::int32_t>>;

std::set<Outcome> outcomes_of(const StoredRun& run, const std::string& scenario) {
  std::set<Outcome> outcomes;
  for (const RequestSample& sample : journal_lines<RequestSample>(run, scenario)) {
    outcomes.emplace(sample.prompt, sample.request, sample.n_prompt_tokens, sample.n_output_tokens, sample.finish,
                     sample.verified_tokens);
  }
  return outcomes;
}

TEST_CASE("run: a scenario sends and gets the same beside another as alone") {
  // The suite's own prompts, shorter random ones, a shared prefix, and an open loop.
  const std::vector<std::pair<std::string, std::string>> scenarios = {
      {"single-stream@/6", "single-stream"},
      {"offline:4@8/8", "offline-b4"},
      {"offline:2+prefix=16+requests=4@24/2", "offline-b2+prefix=16"},
      {"server:50+constant+requests=4@/4", "server-r50+constant"}};
  // A busy machine must not end a cell early.
  const std::vector<std::string> whole = {"--cell-budget", "1h"};
  std::vector<std::set<Outcome>> alone;
  for (const auto& [text, name] : scenarios) {
    const test::ScratchFolder scratch;
    alone.push_back(outcomes_of(run_of(scratch, text, whole), name));
    CAPTURE(text);
    REQUIRE_FALSE(alone.back().empty());
  }
  for (std::size_t first = 0; first < scenarios.size(); ++first) {
    for (std::size_t second = first + 1; second < scenarios.size(); ++second) {
      CAPTURE(scenarios[first].first, scenarios[second].first);
      const test::ScratchFolder scratch;
      const StoredRun run = run_of(scratch, scenarios[first].first + "," + scenarios[second].first, whole);
      CHECK(outcomes_of(run, scenarios[first].second) == alone[first]);
      CHECK(outcomes_of(run, scenarios[second].second) == alone[second]);
    }
  }
}

TEST_CASE("run: the plan file sets the batching of every scenario, and the rows say so") {
  const test::ScratchFolder scratch;
  const std::string plan = (scratch.path() / "plan.yaml").string();
  std::ofstream(plan) << "version: 1\nbundles: [" << kTinyBundle << "]\nbackends: [reference]\nvariants: [bf16]\n"
                      << "scenarios: [\"offline:2@/2\"]\nrepetitions: 1\nbatching: dynamic\n";
  const test::ProgramRun run = test::run_program({"run", "--config", plan, "--out", (scratch.path() / "run").string()});
  CAPTURE(run.err);
  REQUIRE((run.status == 0 || run.status == 6));
  CHECK(run.out.find("offline-b2+dynamic") != std::string::npos);
}

TEST_CASE("run: real traces of Azure and Mooncake are replayed, shortened to the limits") {
  struct Case {
    const char* asset;
    const char* name;
    std::int64_t second_ns;  ///< time of the second arrival in the file
  };
  for (const Case& one :
       {Case{"traces/azure_llm_2023_conv_first2000.csv", "azure_llm_2023_conv_first2000", 4'314'579'000},
        Case{"traces/mooncake_conversation_first2000.jsonl", "mooncake_conversation_first2000", 0}}) {
    const auto path = test::asset(one.asset);
    if (!path) continue;
    const test::ScratchFolder scratch;
    const StoredRun run = run_of(scratch, "server:trace=" + path->string() + "+speed=50+requests=6@24/3");
    const auto samples = journal_lines<RequestSample>(run, "server-trace=" + std::string(one.name) + "+speed=50");
    REQUIRE(samples.size() == 6);
    CHECK(std::abs(samples[1].scheduled_ns - one.second_ns / 50) < 1000);
    for (const RequestSample& sample : samples) {
      CHECK(sample.n_prompt_tokens == 24);
      CHECK(sample.n_output_tokens == 3);
    }
  }
}

TEST_CASE("run: how many requests of a trace are shortened is said before anything is measured") {
  const test::ScratchFolder scratch;
  const std::string trace = (scratch.path() / "some.csv").string();
  std::ofstream(trace) << "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.0,12,3\n"
                          "2023-11-16 18:15:46.1,40,3\n2023-11-16 18:15:46.2,30,5\n2023-11-16 18:15:46.3,20,9\n";
  const test::ProgramRun run =
      test::run_program({"run", kTinyBundle, "--backend", "reference", "--variant", "bf16", "--scenario",
                         "server:trace=" + trace + "+requests=3@24/4", "--dry-run"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  const std::string said =
      "of 3 recorded requests, prompts longer than 24 tokens are shortened (2 of them), and "
      "answers longer than 4 tokens (1)";
  CHECK((run.out + run.err).find(said) != std::string::npos);
}

TEST_CASE("run: prompts share a prefix when that is asked for, and the row says how much of it was not computed") {
  const test::ScratchFolder scratch;
  const StoredRun run = run_of(scratch, "single-stream+requests=4@64/2,offline:2+prefix=48+requests=4@64/2", {}, 3);
  for (const RequestSample& sample : journal_lines<RequestSample>(run, "single-stream")) {
    CHECK(sample.n_cached_prompt_tokens == 0);
  }
  const auto shared = journal_lines<RequestSample>(run, "offline-b2+prefix=48");
  CHECK(shared.size() == 12);
  for (const RequestSample& sample : shared) {
    CAPTURE(sample.repetition, sample.request);
    // The warm-up has computed the prefix already, for every repetition.
    CHECK(sample.n_cached_prompt_tokens == 48);
  }
  for (const CellSummary& cell : summarize(run.record, run.journal).cells) {
    CHECK(cell.prefix_hit_rate.value_or(-1) == Approx(cell.scenario.n_shared_prefix / 64.0));
  }
}

TEST_CASE("run: server:slo-max tries rates, keeps every try, holds the highest that was kept, and measures at it") {
  const test::ScratchFolder scratch;
  const StoredRun run = run_of(scratch, "server:slo-max+requests=8@16/2", {"--slo", "ttft_ms=60000,tpot_ms=60000"});
  const auto probes = journal_lines<RateProbe>(run, "server-slo-max");
  REQUIRE(probes.size() >= 3);
  CHECK(probes[0].phase == ProbePhase::kSaturation);
  CHECK(probes[1].rate_per_s == Approx(0.8 * probes[0].rate_per_s));
  for (const RateProbe& probe : probes) {
    CAPTURE(probe.rate_per_s, probe.phase, probe.verdict, probe.why);
    CHECK_FALSE(probe.why.empty());
    CHECK(probe.wall_s > 0);
  }
  CHECK(probes.back().phase == ProbePhase::kHold);
  CHECK(probes.back().verdict == ProbeVerdict::kKept);
  const auto ends = journal_lines<Repetition>(run, "server-slo-max");
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].rate_per_s == probes.back().rate_per_s);
  const CellSummary cell = summarize(run.record, run.journal).cells[0];
  CHECK(cell.slo_attainment.n == 8);
  CHECK(cell.slo_attainment.value.has_value());
}

TEST_CASE("run: an SLO that no rate keeps is a result, not a failure of the backend") {
  const test::ScratchFolder scratch;
  const StoredRun run = run_of(scratch, "server:slo-max+requests=8@16/2", {"--slo", "ttft_ms=0.0001,tpot_ms=0.0001"});
  CHECK(journal_lines<Repetition>(run, "server-slo-max").empty());
  CHECK(journal_lines<RateProbe>(run, "server-slo-max").back().verdict != ProbeVerdict::kKept);
  const RunSummary summary = summarize(run.record, run.journal);
  REQUIRE(summary.cells[0].notes.size() == 1);
  CHECK(summary.cells[0].notes[0].find("no rate keeps the SLO") != std::string::npos);
}

TEST_CASE("run: a load that only piles up is given up, and its row is INVALID without figures in every report") {
  const test::ScratchFolder scratch;
  const StoredRun run = run_of(scratch, "server:20000+requests=400@16/8");
  CHECK(journal_lines<RequestSample>(run, "server-r20000").size() < 400);
  const auto report = [&](const std::string& format) {
    return test::run_program({"report", (scratch.path() / "run").string(), "--format", format}).out;
  };
  for (const char* format : {"table", "markdown", "html"}) {
    CAPTURE(format);
    CHECK(report(format).find("INVALID: queue: 1 of 1 row") != std::string::npos);
    CHECK(report(format).find(": saturated: ") != std::string::npos);
  }
  CHECK(report("junit").find("queue: saturated: ") != std::string::npos);
  CHECK(report("markdown").find("passed, INVALID | - | - | - | - | - |") != std::string::npos);
  CHECK(report("junit").find("<error type=\"invalid\"") != std::string::npos);
  CHECK(report("csv").find(",invalid,1,") != std::string::npos);
  CHECK(report("csv").find(",,,,,,,,,,\r\n") != std::string::npos);
}

TEST_CASE("run: --trace writes spans that a viewer opens, and where the time of a cell goes") {
  const test::ScratchFolder scratch;
  const std::filesystem::path file = scratch.path() / "trace.json";
  const StoredRun run = run_of(scratch, "offline:2@16/3", {"--trace", file.string()});
  std::ifstream stream(file);
  const auto events = nlohmann::json::parse(stream, nullptr, false);
  REQUIRE(events.is_array());
  std::set<std::string> names;
  double device_us = 0;
  for (const auto& event : events) {
    REQUIRE(event.contains("ph"));
    if (event["ph"] == "M") continue;
    REQUIRE(event["ph"] == "X");
    CHECK(event["dur"].get<double>() >= 0);
    CHECK(event["ts"].get<double>() >= 0);
    names.insert(event["name"].get<std::string>());
    if (event["tid"] == 3) device_us += event["dur"].get<double>();
  }
  for (const char* name : {"prefill", "decode", "submit", "layers.0.attention.qkv", "head", "sample"}) {
    CAPTURE(name);
    CHECK(names.contains(name));
  }
  const auto times = journal_lines<OperationTimes>(run, "offline-b2");
  REQUIRE(times.size() == 1);
  CHECK(times[0].output_tokens == times[0].n_requests * 3);
  std::int64_t sum_ns = 0;
  for (const OperationTime& operation : times[0].operations) {
    CAPTURE(operation.operation, operation.label, operation.shape);
    sum_ns += operation.ns;
    CHECK(operation.n_calls > 0);
    CHECK_FALSE(operation.shape.empty());
    CHECK((operation.shape_class.starts_with("prefill, ") || operation.shape_class.starts_with("decode, ") ||
           operation.shape_class.starts_with("mixed, ")));
    std::int64_t of_layers = 0;
    for (const std::int64_t ns : operation.ns_by_layer) of_layers += ns;
    CHECK((operation.ns_by_layer.empty() || of_layers == operation.ns));
    if (operation.operation == "matmul") CHECK(operation.flops > 0);
  }
  // The trace's spans and the summed times cover the same operations, which take most of a step.
  CHECK(static_cast<double>(sum_ns) == Approx(1e3 * device_us).epsilon(1e-6));
  CHECK(sum_ns <= times[0].device_ns);
  CHECK(sum_ns > times[0].device_ns / 2);
}

TEST_CASE("report --portability: operations on two backends, with their shares of the roofline, in every format") {
  const test::ScratchFolder scratch;
  const std::string folder = (scratch.path() / "run").string();
  const test::ProgramRun run = test::run_program({"run", kTinyBundle, "--backend", "cpu,reference", "--variant", "bf16",
                                                  "--scenario", "offline:2@16/3", "--repetitions", "1", "--out", folder,
                                                  "--trace", (scratch.path() / "trace.json").string()});
  CAPTURE(run.err);
  REQUIRE((run.status == 0 || run.status == 6));
  const auto report = [&](const std::string& format) {
    const test::ProgramRun made = test::run_program({"report", folder, "--portability", "--format", format});
    CAPTURE(made.err);
    CHECK(made.status == 0);
    return made.out;
  };
  const auto matrix = nlohmann::json::parse(report("json"));
  REQUIRE(matrix["platforms"].size() == 2);
  CHECK(matrix["platforms"][0]["backend"] == "cpu");
  CHECK(matrix["platforms"][1]["is_oracle"] == true);
  std::set<std::string> operations;
  for (const auto& row : matrix["rows"]) {
    operations.insert(row["operation"].get<std::string>());
    CHECK(row["parts"].size() == 2);
    for (const auto& part : row["parts"]) {
      if (part["roofline_share"].is_number()) CHECK(part["roofline_share"].get<double>() > 0);
    }
  }
  for (const char* operation : {"all", "matmul", "attention"}) CHECK(operations.contains(operation));
  CHECK(report("table").find("reference (oracle)") != std::string::npos);
  CHECK(report("markdown").find("| operation | type | shapes | cpu |") != std::string::npos);
  CHECK(report("html").starts_with("<!doctype html>"));
  CHECK(test::run_program({"report", folder, "--format", "markdown"}).out.find("Portability") != std::string::npos);
  const test::ProgramRun refused = test::run_program({"report", folder, "--portability", "--format", "csv"});
  CHECK(refused.status == 2);
  CHECK(test::is_one_line(refused.err));
}

TEST_CASE("run: loads that contradict themselves are refused in one line") {
  struct Case {
    std::vector<std::string> arguments;
    const char* part;
  };
  const Case cases[] = {
      {{"run", kTinyBundle, "--scenario", "server:slo-max"}, "expected an SLO to keep (--slo)"},
      {{"run", kTinyBundle, "--scenario", "single-stream+prefix=64@64/2"}, "longer than their shared prefix"},
      {{"run", kTinyBundle, "--slo", "quick"}, "expected limits such as"},
      {{"run", kTinyBundle, "--scenario", "server:trace=/nowhere.csv"}, "/nowhere.csv"},
      {{"run", kTinyBundle, "--batching", "clever"}, "clever"},
  };
  for (const Case& one : cases) test::check_refused(test::run_program(one.arguments), one.part);
}

}  // namespace
}  // namespace secondsource
