// Tests `secondsource ab` and `selftest gate` on a very small bundle. The only assertion about speed is that a fivefold
// slowdown is found.

#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <tuple>

#include "bundle/safetensors_writer.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/seal.h"
#include "expectations.h"
#include "gate/gate_record.h"
#include "record/record_json.h"
#include "support/bundles.h"
#include "support/date.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

ProgramRun ab(const std::filesystem::path& out, std::vector<std::string> more) {
  more.insert(more.begin(), {"ab", kTinyBundle, "--timed-bundle", kTinyBundle, "--backend", "cpu", "--variant", "bf16",
                             "--scenario", "single-stream@16/4", "--budget", "0.05s", "--out", out.string()});
  return run_program(more, {.input = {}, .environment = {}, .timeout = std::chrono::seconds(300)});
}

std::int64_t count_lines(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::int64_t n = 0;
  for (std::string line; std::getline(stream, line);) ++n;
  return n;
}

/// Makes a bundle of an FP8 checkpoint with the tiny bundle's shape, but only one layer. All weights are 0.
std::string fp8_bundle(const std::filesystem::path& parent) {
  const std::filesystem::path model = parent / "model";
  std::filesystem::create_directories(model);
  auto config = nlohmann::json::parse(*read_file(std::filesystem::path(kTinyBundle) / "config.json"));
  config["num_hidden_layers"] = 1;
  config["quantization_config"] = {
      {"quant_method", "fp8"}, {"activation_scheme", "dynamic"}, {"weight_block_size", {128, 128}}};
  REQUIRE_OK(write_file(model / "config.json", config.dump()));
  std::vector<TensorToWrite> tensors = {{"model.embed_tokens.weight", DType::kBf16, {512, 48}},
                                        {"lm_head.weight", DType::kBf16, {512, 48}},
                                        {"model.norm.weight", DType::kBf16, {48}},
                                        {"model.layers.0.input_layernorm.weight", DType::kBf16, {48}},
                                        {"model.layers.0.post_attention_layernorm.weight", DType::kBf16, {48}}};
  const std::tuple<const char*, std::int64_t, std::int64_t> matrices[] = {
      {"self_attn.q_proj", 1024, 48}, {"self_attn.k_proj", 128, 48}, {"self_attn.v_proj", 128, 48},
      {"self_attn.o_proj", 48, 1024}, {"mlp.gate_proj", 112, 48},    {"mlp.up_proj", 112, 48},
      {"mlp.down_proj", 48, 112}};
  for (const auto& [name, n_outputs, n_inputs] : matrices) {
    const std::string weight = fmt::format("model.layers.0.{}.weight", name);
    tensors.push_back({weight, DType::kU8, {n_outputs, n_inputs}, "F8_E4M3"});
    tensors.push_back({weight + "_scale_inv", DType::kF32, {(n_outputs + 127) / 128, (n_inputs + 127) / 128}});
  }
  auto writer = SafetensorsWriter::create(model / "model.safetensors", tensors);
  REQUIRE_OK(writer);
  for (const TensorToWrite& tensor : tensors) {
    const auto n_bytes = static_cast<std::size_t>(*tensor.shape.n_elements()) * size_of(tensor.dtype);
    REQUIRE_OK(writer->write(std::vector<std::byte>(n_bytes)));
  }
  REQUIRE_OK(writer->finish());
  std::string bundle = (parent / "fp8").string();
  const ProgramRun made = run_program({"bundle", "create", "--from-hf", model.string(), "--out", bundle});
  CAPTURE(made.err);
  REQUIRE(made.status == 0);
  return bundle;
}

}  // namespace

TEST_CASE("ab: a build against itself is never a regression; two pairs are too few to tell, and say so") {
  const ScratchFolder scratch;
  const auto out = scratch.path() / "ab";
  const ProgramRun run = ab(out, {"--max-pairs", "2"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 5);
  CHECK(contains(run.out, "gate: 0 regressed, 2 inconclusive"));
  CHECK(contains(run.out, "tiny-gqa8-hd64/cpu/bf16/single-stream"));
  CHECK(contains(run.out, "more pairs would decide it"));
  CHECK(contains(run.err, "may stay in the last-level cache"));
  CHECK(contains(run.err, "base and candidate are the same program with the same flags"));
  CHECK(count_lines(out / "pairs.jsonl") == 4);
  const auto report = gate_report_from_json(*read_file(out / "gate.json"), "gate.json");
  REQUIRE_OK(report);
  CHECK(report->method == GateMethod::kInterleavedPairs);
  CHECK(ab(scratch.path() / "again", {"--max-pairs", "2", "--allow-inconclusive"}).status == 0);
  const ProgramRun twice = ab(out, {"--max-pairs", "2"});
  CHECK(twice.status == 2);
  CHECK(contains(twice.err, "found a comparison in it"));
}

TEST_CASE("ab: what was interrupted goes on where it was, and what changed meanwhile is refused") {
  const ScratchFolder scratch;
  const auto out = scratch.path() / "ab";
  REQUIRE(ab(out, {"--max-pairs", "2"}).status == 5);
  // The state after a kill in the middle of the second pair.
  const std::string lines = *read_file(out / "pairs.jsonl");
  std::size_t end = 0;
  for (int i = 0; i < 3; ++i) end = lines.find('\n', end) + 1;
  REQUIRE_OK(write_file(out / "pairs.jsonl", lines.substr(0, end) + "{\"pair\": 1, \"att"));
  // A later attempt of a process that no line names is removed, and what has another name is not.
  const auto interrupted = out / "processes/0001-7-cpu-bf16-base";
  const auto of_user = out / "processes/0001-notes";
  std::filesystem::create_directories(interrupted / "workers");
  std::filesystem::create_directories(of_user);
  const ProgramRun resumed = run_program({"ab", "--resume", out.string()});
  CAPTURE(resumed.out, resumed.err);
  CHECK(resumed.status == 5);
  CHECK(contains(resumed.out, "gate: 0 regressed, 2 inconclusive"));
  CHECK(count_lines(out / "pairs.jsonl") == 5);  // the incomplete pair was measured again
  CHECK(contains(*read_file(out / "ab.json"), "resumed_utc"));
  CHECK_FALSE(std::filesystem::exists(interrupted));
  CHECK(std::filesystem::exists(of_user));
  std::string record = *read_file(out / "ab.json");
  const auto hash = record.find("\"program_sha256\": \"") + 19;
  record.replace(hash, 4, record.substr(hash, 4) == "0000" ? "1111" : "0000");
  const std::string content = record.substr(0, record.rfind(",\n  \"checksum\"")) + "\n}\n";
  REQUIRE_OK(write_file(out / "ab.json", sealed(content)));
  const ProgramRun changed = run_program({"ab", "--resume", out.string()});
  CHECK(changed.status == 6);
  CHECK(contains(changed.err, "changed since the comparison began"));
}

TEST_CASE(
    "ab: --resume prints the verdict of a finished comparison on a busy machine, too, and goes on only on a free one") {
  const ScratchFolder scratch;
  const auto out = scratch.path() / "ab";
  // Other processes are never allowed to use any of the CPUs when the comparison goes on.
  const auto resume = [&] { return run_program({"ab", "--resume", out.string(), "--max-others", "0"}); };
  REQUIRE(ab(out, {"--max-pairs", "2"}).status == 5);
  const std::string lines = *read_file(out / "pairs.jsonl");
  std::atomic<bool> done = false;
  std::thread load([&] {
    while (!done) {
    }
  });
  const ProgramRun finished = resume();
  REQUIRE_OK(write_file(out / "pairs.jsonl", lines.substr(0, lines.find('\n') + 1)));
  const ProgramRun part = resume();
  done = true;
  load.join();
  CAPTURE(finished.out, finished.err, part.out, part.err);
  CHECK(finished.status == 5);
  CHECK(contains(finished.out, "gate: 0 regressed, 2 inconclusive"));
  CHECK_FALSE(contains(finished.out, "cannot decide here"));
  CHECK(part.status == 5);
  CHECK(contains(part.out, "cannot decide here: other processes took"));
  CHECK(contains(part.out, "nothing more was measured; what was measured before is kept"));
  CHECK_FALSE(contains(part.out, "nothing was measured"));
}

TEST_CASE("ab: the time ends the golden prompts, which is inconclusive") {
  const ScratchFolder scratch;
  const ProgramRun run = ab(scratch.path() / "ab", {"--suite", "full", "--max-time", "0.001s"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 5);
  CHECK(contains(
      run.out,
      "0.001 s of --max-time were used up before the golden prompts of the base ended; judged until then: none"));
  CHECK(contains(run.out, "nothing was timed"));
  CHECK(contains(run.out, "cannot decide here: nothing was timed"));
}

TEST_CASE("ab: --resume keeps the waivers of the plan, and that it may be inconclusive") {
  const ScratchFolder scratch;
  const auto out = scratch.path() / "ab";
  const auto waivers_for = [&](const std::string& name, const std::string& scope) {
    REQUIRE_OK(write_file(scratch.path() / name,
                          "waivers:\n  - id: W-1\n    scope: " + scope +
                              "\n    ceiling_percent: 20\n    owner: o@example.com\n    reason: r\n    link: l\n"
                              "    expires: " +
                              days_from_today(300) + "\n"));
    return (scratch.path() / name).string();
  };
  waivers_for("waivers.yaml", "{backend: cpu, variant: int8}");
  const auto plan = scratch.path() / "plan.yaml";
  REQUIRE_OK(write_file(plan, "version: 1\nbundles: ['" + kTinyBundle + "']\nbackends: [cpu]\nvariants: [bf16]\n" +
                                  "scenarios: ['single-stream@16/4']\ncell_budget: 50ms\n" +
                                  "gate: {max_pairs: 2, waivers: waivers.yaml, allow_inconclusive: true, " +
                                  "timed_bundle: '" + kTinyBundle + "'}\n"));
  const ProgramRun run =
      run_program({"ab", "--config", plan.string(), "--cand-args", "--fault cpu=slow:1", "--out", out.string()},
                  {.input = {}, .environment = {}, .timeout = std::chrono::seconds(300)});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 2);
  REQUIRE(contains(run.out, "waiver W-1: matches no compared cell"));
  CHECK_FALSE(contains(run.err, "the same program with the same flags"));
  const ProgramRun resumed = run_program({"ab", "--resume", out.string()});
  CAPTURE(resumed.out, resumed.err);
  CHECK(resumed.status == 2);
  CHECK(contains(resumed.out, "waiver W-1: matches no compared cell"));
  // The flag goes before what the plan says.
  const ProgramRun other =
      run_program({"ab", "--resume", out.string(), "--waivers", waivers_for("other.yaml", "{backend: cuda}")});
  CAPTURE(other.out, other.err);
  CHECK(other.status == 0);
  CHECK(contains(other.out, "gate: 0 regressed, 2 inconclusive"));
}

TEST_CASE("ab: a slowdown of one operation is found, and named with its source") {
  const ScratchFolder scratch;
  const auto sarif = scratch.path() / "gate.sarif";
  const ProgramRun run =
      ab(scratch.path() / "ab", {"--max-pairs", "10", "--cand-args", "--fault cpu=slow:2000:matmul", "--source",
                                 source_path(""), "--sarif", sarif.string(), "--format", "json"});
  CAPTURE(run.out, run.err);
  REQUIRE(run.status == 1);
  const auto report = gate_report_from_json(run.out, "gate");
  REQUIRE_OK(report);
  CHECK(report->count(Decision::kRegressed) >= 1);
  REQUIRE_FALSE(report->losses.empty());
  CHECK(report->losses.front().operation == "matmul");
  CHECK(report->losses.front().cell.backend == "cpu");
  CHECK(report->losses.front().source.starts_with("backends/cpu/"));
  double sum = 0;
  for (const LossShare& loss : report->losses) {
    if (loss.metric == report->losses.front().metric) sum += loss.share;
  }
  CHECK(sum == Approx(1));
  const auto document = nlohmann::json::parse(*read_file(sarif));
  CHECK(document["version"] == "2.1.0");
  const auto& place = document["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
  CHECK(place["artifactLocation"]["uri"].get<std::string>().starts_with("backends/cpu/"));
}

TEST_CASE("ab: wrong tokens end with 3 and a crash with 4, before anything is timed") {
  const ScratchFolder scratch;
  const auto [fault, status] = GENERATE(table<const char*, int>({{"cpu=garbage:1", 3}, {"cpu=crash:1", 4}}));
  const auto out = scratch.path() / std::to_string(status);
  const ProgramRun run = ab(out, {"--cand-args", std::string("--fault ") + fault});
  CAPTURE(run.out, run.err);
  CHECK(run.status == status);
  CHECK(count_lines(out / "pairs.jsonl") == 0);
}

TEST_CASE("ab: a named backend that is not there fails the comparison of the others") {
  const ScratchFolder scratch;
  const ProgramRun run = ab(scratch.path() / "ab", {"--backend", "onednm", "--max-pairs", "1"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 4);
  CHECK(contains(run.out, "not measured: onednm/bf16: there is no backend of this name; this program has "));
  CHECK(contains(run.out, "tiny-gqa8-hd64/cpu/bf16/single-stream"));
}

TEST_CASE("ab: two revisions are built and compared") {
  const ScratchFolder scratch;
  const auto repository = scratch.path() / "repository";
  std::filesystem::create_directories(repository);
  const std::string script = "cd '" + repository.string() +
                             "' && git init -q -b main && for i in 1 2; do echo $i > n && git add n && "
                             "git -c user.name=t -c user.email=t@t commit -q -m $i; done";
  REQUIRE(std::system(script.c_str()) == 0);
  // The build command writes a script that starts the program under test.
  const std::string build = "printf '#!/bin/sh\\nexec " + program_path().string() + " \"$@\"\\n' > p && chmod +x p";
  const auto out = scratch.path() / "ab";
  const ProgramRun run =
      ab(out, {"--max-pairs", "2", "--base", "main~1", "--cand", "main", "--build", build, "--program", "p", "--repo",
               repository.string(), "--work", (scratch.path() / "work").string()});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 5);
  CHECK(contains(run.out, "base: "));
  CHECK(contains(run.out, "revision "));
}

TEST_CASE("ab: beside a load on every CPU it judges tokens, says that it cannot decide here, and goes on later") {
  const ScratchFolder scratch;
  const auto out = scratch.path() / "ab";
  std::atomic<bool> done = false;
  std::vector<std::thread> load;
  for (unsigned i = 0; i < 4 * std::thread::hardware_concurrency(); ++i) {
    load.emplace_back([&] {
      while (!done) {
      }
    });
  }
  const ProgramRun run = ab(out, {"--max-others", "50", "--format", "json"});
  const ProgramRun allowed =
      run_program({"ab", "--resume", out.string(), "--allow-inconclusive", "--format", "markdown"});
  const ProgramRun wrong =
      ab(scratch.path() / "wrong", {"--max-others", "50", "--cand-args", "--fault cpu=garbage:1", "--format", "json"});
  done = true;
  for (std::thread& thread : load) thread.join();
  CAPTURE(run.out, run.err, allowed.err, wrong.out, wrong.err);
  CHECK(run.status == 5);
  CHECK(contains(run.out, "other processes took"));
  const auto report = gate_report_from_json(run.out, "gate");
  REQUIRE_OK(report);
  CHECK(report->verdicts.empty());
  CHECK(contains(report->compared.back(), "host: "));
  CHECK(allowed.status == 0);
  CHECK(contains(allowed.out, "## Gate: cannot decide here: nothing was timed"));
  CHECK(contains(allowed.out, "tokens were judged and nothing was timed"));
  // A CI job makes its reports of this file, whatever the end.
  CHECK(std::filesystem::exists(out / "gate.json"));
  CHECK(wrong.status == 3);
  CHECK_FALSE(gate_report_from_json(wrong.out, "gate")->wrong_tokens.empty());
}

TEST_CASE("ab: what cannot be compared is refused in one line") {
  const ScratchFolder scratch;
  check_refused(run_program({"ab"}), "expected a bundle");
  check_refused(run_program({"ab", "/nowhere", "--out", (scratch.path() / "a").string()}), "/nowhere");
  check_refused(ab(scratch.path() / "b", {"--base", "/nowhere/program"}), "expected a program");
  check_refused(ab(scratch.path() / "c", {"--build", "true"}), "--build: expected revisions");
  // An unknown variant is refused before anything is built, and before `ab` waits for the machine to become idle.
  check_refused(ab(scratch.path() / "e", {"--variant", "in8", "--build", "false", "--base", "x", "--cand", "y"}),
                "found \"in8\"; did you mean int8?");
  CHECK_FALSE(std::filesystem::exists(scratch.path() / "e"));
  check_refused(run_program({"ab", "--resume", "/nowhere"}), "/nowhere");
  check_refused(run_program({"ab", kTinyBundle, "--resume", "/nowhere"}), "--no-attribution beside it, found a bundle");
  for (const char* flag : {"--variant", "--max-pairs", "--threshold", "--seed", "--base-args"}) {
    check_refused(run_program({"ab", "--resume", "/nowhere", flag, "9"}), std::string("found ") + flag);
  }
  const auto text = scratch.path() / "text";
  REQUIRE_OK(write_file(text, "no program"));
  check_refused(ab(scratch.path() / "f", {"--cand", text.string()}), "found something that cannot be executed");
  check_refused(ab(scratch.path() / "e", {"--cand-args", "--threads '1"}),
                "--cand-args: expected a ' that closes the one before \"1\", found none");
  const ProgramRun flags = ab(scratch.path() / "d", {"--cand-args", "--no-such-flag"});
  CHECK(flags.status == 2);
  CHECK(contains(flags.err, "candidate: "));
}

TEST_CASE(
    "ab: a published variant that the timed bundle does not have is refused before anything is built or written") {
  const ScratchFolder scratch;
  const std::string bundle = fp8_bundle(scratch.path());
  const std::filesystem::path out = scratch.path() / "out";
  const auto compare = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"ab", bundle, "--variant", "fp8-block128", "--out", out.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  };
  const std::vector<std::string> revisions = {"--build", "false", "--base", "x", "--cand", "y"};
  check_refused(compare(revisions), "has no published variants; expected --timed-bundle " + bundle);
  // If neither flags nor plan name variants, the default is that of `run`, whose first variant is the published one.
  const std::filesystem::path plan = scratch.path() / "plan.yaml";
  REQUIRE_OK(write_file(plan, "version: 1\nscenarios: [single-stream@16/4]\n"));
  check_refused(run_program({"ab", bundle, "--config", plan.string(), "--out", out.string()}),
                "ab: variant fp8-block128: this bundle is too small to be timed");
  check_refused(
      run_program({"ab", bundle, "--config", plan.string(), "--timed-bundle", kTinyBundle, "--out", out.string()}),
      "found \"fp8-block128\"");
  check_refused(compare({"--timed-bundle", kTinyBundle}), "found \"fp8-block128\"");
  CHECK_FALSE(std::filesystem::exists(out));
  // When the bundle is its own timed bundle, it has the published variant.
  check_refused(compare({"--timed-bundle", bundle, "--base", "/nowhere/program"}), "expected a program");
}

TEST_CASE("selftest gate: the simulation follows from its seed, and judges a pool of measured pairs") {
  const std::vector<std::string> small = {"selftest", "gate", "--trials", "10", "--families", "10"};
  const ProgramRun run = run_program(small);
  CAPTURE(run.out, run.err);
  CHECK(contains(run.out, "false families"));
  CHECK(contains(run.out, "autocorrelated"));
  CHECK(run_program(small).out == run.out);
  const ScratchFolder scratch;
  const auto pool = scratch.path() / "pool";
  const ProgramRun real =
      run_program({"selftest", "gate", "--real", "--bundle", kTinyBundle, "--timed-bundle", kTinyBundle, "--scenario",
                   "single-stream@16/4", "--budget", "0.05s", "--pairs", "5", "--out", pool.string()});
  CAPTURE(real.out, real.err);
  REQUIRE(real.status == 0);
  CHECK(contains(real.out, "5 pairs: "));
  const ProgramRun judged =
      run_program({"selftest", "gate", "--from", (pool / "pairs.jsonl").string(), "--trials", "10"});
  CAPTURE(judged.out, judged.err);
  CHECK(judged.status == 0);
  CHECK(contains(judged.out, "5 measured pairs of 2 cells and metrics"));
  CHECK(contains(judged.out, "resampled"));
}

TEST_CASE("selftest gate refuses flags that would have no effect") {
  const auto gate = [](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"selftest", "gate"});
    return run_program(flags);
  };
  check_refused(gate({"--bundle", kTinyBundle}), "--bundle: expected --real beside it, found none");
  check_refused(gate({"--backend", "cpu", "--trials", "10"}), "--backend: expected --real");
  check_refused(gate({"--pairs", "3"}), "--pairs: expected --real");
  check_refused(gate({"--as-measured"}), "--as-measured: expected --from beside it, found none");
  check_refused(gate({"--anchor", "--server-starts"}), ", found both");
  check_refused(gate({"--from", "pairs.jsonl", "--real"}), ", found both");
  check_refused(gate({"--real", "--bundle", kTinyBundle, "--out", "pool", "--trials", "10"}), ", found both");
  check_refused(gate({"--from", "pairs.jsonl", "--families", "10"}), ", found both");
  check_refused(run_program({"selftest", "checks", "reports/samples/runs/cpu", "--repetitions", "3"}),
                "--repetitions: expected --real beside it, found none");
}

TEST_CASE("waiver check: against a gate's verdicts it finds what is exceeded, unmatched or twice") {
  const ScratchFolder scratch;
  GateReport report;
  report.verdicts.push_back({.cell = {"b", "cpu", "bf16", "single-stream"}, .metric = "cost"});
  report.verdicts[0].decision = Decision::kRegressed;
  report.verdicts[0].change_percent = 40;
  const auto gate = scratch.path() / "gate.json";
  REQUIRE_OK(write_file(gate, to_json(report)));
  const auto check = [&](const std::string& scope, int ceiling) {
    const auto file = scratch.path() / "waivers.yaml";
    REQUIRE_OK(write_file(
        file, "waivers:\n  - id: W-1\n    scope: " + scope + "\n    ceiling_percent: " + std::to_string(ceiling) +
                  "\n    owner: o@example.com\n    reason: r\n    link: l\n    expires: " + days_from_today(300) +
                  "\n"));
    return run_program({"waiver", "check", file.string(), "--gate", gate.string()});
  };
  CHECK(check("{backend: cpu}", 60).status == 0);
  const ProgramRun exceeded = check("{backend: cpu}", 20);
  CHECK(exceeded.status == 2);
  CHECK(contains(exceeded.out, "+40.0 % exceeds its ceiling of 20 %"));
  const ProgramRun unmatched = check("{backend: cpu, variant: int8}", 20);
  CHECK(unmatched.status == 2);
  CHECK(contains(unmatched.out, "matches no compared cell"));
  const ProgramRun elsewhere = check("{backend: cuda}", 20);
  CHECK(elsewhere.status == 0);
  CHECK(contains(elsewhere.out, "no cell of its backend \"cuda\" was judged"));
}

TEST_CASE("ab: an opportunistic variant fails nothing, unless it is asked to") {
  const ScratchFolder scratch;
  const auto [flag, status] = GENERATE(table<const char*, int>({{"", 0}, {"--gate-opportunistic", 3}}));
  std::vector<std::string> words = {"ab",
                                    kTinyBundle,
                                    "--timed-bundle",
                                    kTinyBundle,
                                    "--backend",
                                    "cpu",
                                    "--variant",
                                    "int4",
                                    "--scenario",
                                    "single-stream@16/4",
                                    "--budget",
                                    "0.05s",
                                    "--out",
                                    (scratch.path() / "ab").string(),
                                    "--cand-args",
                                    "--fault cpu=garbage:1"};
  if (*flag != 0) words.emplace_back(flag);
  const ProgramRun run = run_program(words, {.input = {}, .environment = {}, .timeout = std::chrono::seconds(300)});
  CAPTURE(run.out, run.err);
  CHECK(run.status == status);
  CHECK(contains(run.out,
                 status == 0 ? "opportunistic, so without effect: cpu/int4: wrong tokens" : "wrong tokens: cpu/int4"));
}

TEST_CASE("ab: a plan says what is compared, and a key that pairs cannot honour is refused") {
  const ScratchFolder scratch;
  const auto plan = scratch.path() / "plan.yaml";
  const auto with = [&](const std::string& key) {
    REQUIRE_OK(write_file(plan, "version: 1\nbundles: ['" + kTinyBundle + "']\nbackends: [cpu]\nvariants: [bf16]\n" +
                                    "scenarios: ['single-stream@16/4', 'offline:2@16/4']\ncell_budget: 50ms\n" +
                                    "gate: {max_pairs: 2, threshold_percent: 20, timed_bundle: '" + kTinyBundle +
                                    "'}\n" + key));
    return run_program({"ab", "--config", plan.string(), "--out", (scratch.path() / "ab").string()},
                       {.input = {}, .environment = {}, .timeout = std::chrono::seconds(300)});
  };
  const ProgramRun refused = with("threads: 1\n");
  CHECK(refused.status == 2);
  CHECK(contains(refused.err, "threads: expected no such key in a plan for ab"));
  const ProgramRun run = with("");
  CAPTURE(run.out, run.err);
  CHECK((run.status == 5 || run.status == 6));
  const std::string record = *read_file(scratch.path() / "ab/ab.json");
  CHECK(contains(record, "offline:2@16/4"));
  CHECK(contains(record, "\"threshold_percent\": 20"));
  CHECK(contains(record, "\"cell_budget\": \"0.05s\""));
}

TEST_CASE("ab: each side runs with the modules that its own revision builds") {
  const ScratchFolder scratch;
  const std::filesystem::path repository = scratch.path() / "repository";
  const auto shell = [&](const std::string& command) {
    REQUIRE(std::system(
                ("mkdir -p '" + repository.string() + "' && cd '" + repository.string() + "' && " + command).c_str()) ==
            0);
  };
  const std::string commit = "git add kind && git -c user.name=t -c user.email=t@t commit -q -m x";
  shell("git init -q && echo whole > kind && " + commit + " && echo broken > kind && " + commit);
  const std::string module = (program_path().parent_path() / "libsecondsource-cpu.so").string();
  const std::string build =
      "mkdir m && if grep -q whole kind; then cp '" + module + "' m; else echo broken > m/libsecondsource-cpu.so; fi";
  const auto out = scratch.path() / "ab";
  const ProgramRun run =
      ab(out, {"--max-pairs", "2", "--base", "HEAD~1", "--cand", "HEAD", "--build", build, "--modules", "m", "--repo",
               repository.string(), "--work", (scratch.path() / "work").string()});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 4);
  CHECK(contains(run.out, "libsecondsource-cpu.so"));
  const auto record = nlohmann::json::parse(*read_file(out / "ab.json"));
  CHECK(record["base"]["modules"].get<std::string>().ends_with("/m"));
  CHECK(record["base"]["program"] == record["candidate"]["program"]);
  check_refused(ab(scratch.path() / "other", {"--modules", "m"}), "--modules: expected --build");
  check_refused(ab(scratch.path() / "other", {"--program", "p"}), "--program: expected --build");
  check_refused(ab(scratch.path() / "other", {"--alternate"}), "--alternate: expected two systems");
  check_refused(ab(scratch.path() / "other", {"--pairs-per-start", "2"}), "--pairs-per-start: expected two systems");
}
