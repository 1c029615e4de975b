// Systems behind adapters, from the plan and the command line to every report. The adapter is a stand-in that answers from the
// bundle's expected outputs (tests/adapters/stand_in.py), so that its tokens are right unless a test plants wrong ones.

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/enum_names.h"
#include "core/file.h"
#include "record/record_json.h"
#include "support/bundles.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"
#include "system_run.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

using test::kDefaultBundle;
const std::string kAdapterStandIn = test::source_path("tests/adapters/stand_in.py");

std::string options_of(const std::string& options) {
  return "    start: [python3, '" + kAdapterStandIn + "']\n" +
         (options.empty() ? std::string() : "    options: {" + options + "}\n");
}

/// A run of one system behind an adapter; `how` is a part of its entry in the plan such as "    options: {...}\n".
test::SystemRun adapter_run(const std::string& how, const std::vector<std::string>& more = {}) {
  return test::SystemRun({"    adapter: stand-in\n" + how, "offline:2+requests=4@/6"}, more);
}

}  // namespace

TEST_CASE("a runtime with right tokens passes, at the level that its adapter can show") {
  struct Case {
    std::string options;
    std::string level;
  };
  const auto one = GENERATE(values<Case>({{"", "logits"},
                                          {"forced: best", "forced"},
                                          {"forced: logprob", "logprob"},
                                          {"forced: none", "greedy"},
                                          {"forced: none, tokens: text", "text"}}));
  CAPTURE(one.options);
  const test::SystemRun measured = adapter_run(options_of(one.options));
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  const SummarizedRun stored = measured.stored();
  REQUIRE(stored.summary.golden.size() == 1);
  const GoldenRecord& golden = stored.summary.golden.front();
  CHECK(golden.verdict == GoldenVerdict::kPassed);
  REQUIRE(golden.level);
  CHECK(to_string(*golden.level) == one.level);
  CHECK(golden.kl_mean.has_value() == (one.level == "logits"));
  CHECK(golden.n_prompts > 3);
  CHECK(golden.n_positions > 20);
  CHECK(golden.n_match == golden.n_positions);
  CHECK(golden.n_same_twice == golden.n_repeated);
  CHECK(golden.n_same_in_batch == golden.n_repeated);
  CHECK(test::contains(measured.run().out, "passed (" + one.level + ")"));
  CHECK(stored.summary.cells.size() == 2);
  for (const CellSummary& cell : stored.summary.cells) CHECK(cell.n_errors == 0);
  const test::ProgramRun verified = test::run_program({"verify", measured.folder().string()});
  CAPTURE(verified.out, verified.err);
  CHECK(verified.status == 0);
}

TEST_CASE("wrong tokens behind an adapter are found, whatever it shows") {
  struct Case {
    std::string options;
    std::string level;
    std::string part;
  };
  const auto one = GENERATE(values<Case>({
      {"wrong_scores: 1", "logits", "tokens: expected no wrong one"},
      {"wrong_scores: 1, forced: best", "forced", "tokens: expected no wrong one"},
      {"wrong_scores: 1, forced: logprob", "logprob", "tokens: expected no wrong one"},
      {"wrong_token: 1, forced: none", "greedy", "generated, token 1"},
      {"wrong_token: 1, forced: none, tokens: text", "text", "generated, token 1"},
      {"wrong_token: 1", "logits", "generated, token 1"},  // the scores are right; only generated tokens are wrong
      {"fault: not finite", "logits", "expected finite logits, found others"},
  }));
  CAPTURE(one.options);
  const test::SystemRun measured = adapter_run(options_of(one.options));
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 3);
  CHECK(test::contains(measured.run().out, "WRONG TOKENS (" + one.level + ")"));
  CHECK(test::contains(measured.run().out, one.part));
}

TEST_CASE("an adapter whose lines come late after their own stamps makes its row suspect") {
  const test::SystemRun measured = adapter_run(options_of("step_ms: 20, late_ms: 40"));
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  const auto run = read_run(measured.folder());
  REQUIRE_OK(run);
  for (const JournalLine& line : run->journal.lines) {
    const auto* repetition = std::get_if<Repetition>(&line);
    if (repetition == nullptr) continue;
    const auto timestamps = std::ranges::find(repetition->checks, "timestamps", &CheckRecord::name);
    REQUIRE(timestamps != repetition->checks.end());
    CHECK(timestamps->outcome == CheckOutcome::kSuspect);
    CHECK(test::contains(timestamps->detail, "after the times that the system itself stamped"));
  }
}

TEST_CASE("run.json says what is behind the adapter, and the reports show the row beside our own") {
  const test::SystemRun measured = adapter_run(
      options_of("in_flight: 3") + "    env: {STAND_IN: yes}\n    devices: 2\n    telemetry: local:GPU-of-nobody\n",
      {"--backend", "reference", "--price", "2"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  const SummarizedRun stored = measured.stored();
  REQUIRE(stored.record.backends.size() == 2);
  const BackendRecord& it = stored.record.backends.back();
  REQUIRE(it.adapter);
  CHECK(it.adapter->runtime == "stand-in");
  CHECK(it.adapter->start.front() == "python3");
  CHECK(it.adapter->versions == std::vector<std::pair<std::string, std::string>>{{"stand-in", "1.2.3"}});
  CHECK(it.adapter->settings == std::vector<std::pair<std::string, std::string>>{{"forced", "logits"}});
  CHECK(it.adapter->options == std::vector<std::pair<std::string, std::string>>{{"in_flight", "3"}});
  CHECK(it.adapter->max_in_flight == 3);
  CHECK(it.adapter->telemetry == "local:GPU-of-nobody");
  CHECK(it.n_units_used == 2);
  CHECK_FALSE(it.served);
  const std::string telemetry = read_file(measured.folder() / "samples.jsonl").value();
  CHECK(test::contains(telemetry, "adapter_line_delay_ns_max"));
  // A Python takes some MiB, and this one less than a gigabyte.
  const auto run = read_run(measured.folder());
  REQUIRE_OK(run);
  std::vector<double> resident;
  for (const JournalLine& line : run->journal.lines) {
    const auto* repetition = std::get_if<Repetition>(&line);
    if (repetition == nullptr) continue;
    for (const TelemetryReading& reading : repetition->telemetry) {
      if (reading.name == "adapter_rss_bytes") resident.push_back(reading.value.value_or(0));
    }
  }
  CHECK_FALSE(resident.empty());
  for (const double bytes : resident) {
    CHECK(bytes > 4e6);
    CHECK(bytes < 1e9);
  }
  CHECK(test::contains(telemetry, R"({"name":"device_power_w","value":null,"why_not":"not available: )"));
  for (const char* format : {"markdown", "html", "csv", "junit", "json"}) {
    const test::ProgramRun report = test::run_program({"report", measured.folder().string(), "--format", format});
    CAPTURE(format, report.err);
    CHECK(report.status == 0);
    CHECK(test::contains(report.out, "it"));
    CHECK(test::contains(report.out, "reference"));
  }
  const test::ProgramRun html = test::run_program({"report", measured.folder().string(), "--format", "html"});
  CHECK(test::contains(html.out, "stand-in behind an adapter; stand-in 1.2.3; forced logits; started as STAND_IN="));
}

TEST_CASE("a stored run of an adapter is a baseline") {
  const test::SystemRun base = adapter_run(options_of(""));
  const test::SystemRun candidate = adapter_run(options_of("in_flight: 3"), {"--baseline", base.folder().string()});
  CAPTURE(base.run().out, candidate.run().out, candidate.run().err);
  CHECK(test::contains(candidate.run().out, "gate: "));
  // A cell that the machine disturbed is INVALID and therefore not comparable. There may be no other reason.
  std::istringstream lines(candidate.run().out);
  for (std::string line; std::getline(lines, line);) {
    if (test::contains(line, "not comparable")) CHECK(test::contains(line, "INVALID"));
  }
}

TEST_CASE("an adapter that does not start is one failure, and the others are measured") {
  struct Case {
    std::string hello;
    std::string expected;
  };
  const auto one = GENERATE(values<Case>({
      {"version", "it: not run: the adapter speaks version 2 of the protocol, expected 1"},
      {"garbage", "it wrote \"Loading checkpoint shards"},
      {"endless", "a line of more than 8388608 bytes"},
      {"no runtime", "this Python has no package of that runtime"},
      {"exit", "the adapter ended with exit status 7: fatal: the runtime died"},
      {"hang", "the adapter had not said hello after 1 s"},
  }));
  CAPTURE(one.hello);
  const test::SystemRun measured =
      adapter_run("    start: [python3, '" + kAdapterStandIn + "', --hello, '" + one.hello +
                      "']\n    start_deadline: " + (one.hello == "hang" ? "1" : "60") + "\n",
                  {"--backend", "reference"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 4);
  CHECK(test::contains(measured.run().out, one.expected));
  CHECK(measured.stored().summary.cells.size() == 2);
}

TEST_CASE(
    "an adapter that fails in the middle is reported as a backend that does, and started again for the next cell") {
  struct Case {
    std::string fault;
    std::string expected;
  };
  const auto one = GENERATE(values<Case>({
      {"exit", "crash: the adapter ended with exit status 7: fatal: the runtime died"},
      {"killed", "crash: the adapter ended with signal 9 (Killed)"},
      {"out-of-memory", "out-of-memory: the adapter ended with exit status 7"},
      {"hang", "hang: the adapter wrote nothing for 2 s although a request was open"},
      {"garbage", "error: the adapter's line"},
      {"lost token", "error: the adapter wrote a token of request"},
  }));
  CAPTURE(one.fault);
  const test::SystemRun measured =
      adapter_run(options_of("fault: " + one.fault), {"--step-deadline", "2s", "--no-golden"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 4);
  const SummarizedRun stored = measured.stored();
  REQUIRE(stored.summary.failures.size() == 2);
  for (const FailureRecord& failure : stored.summary.failures) {
    const std::string text = std::string(to_string(failure.kind)) + ": " + failure.message;
    CAPTURE(text);
    CHECK(text.starts_with(one.expected));
  }
  if (one.fault == "exit") CHECK(test::contains(measured.log(), "fatal: the runtime died"));
}

TEST_CASE("a model that a runtime cannot load fails its row alone") {
  const test::SystemRun measured = adapter_run(options_of("fault: load exit"), {"--backend", "reference"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 4);
  CHECK(test::contains(measured.run().out, "crash: the adapter ended with exit status 7: fatal: the runtime died"));
}

TEST_CASE("an adapter that is another one when its row begins is not measured") {
  const test::SystemRun measured =
      adapter_run("    start: [python3, '" + kAdapterStandIn + "', --hello, another each time]\n");
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 4);
  CHECK(test::contains(measured.run().out, "reports another runtime, version or setting"));
}

TEST_CASE("nothing that an adapter started outlives the run") {
  const test::ScratchFolder scratch;
  const fs::path child = scratch.path() / "child";
  const test::SystemRun measured = adapter_run(options_of("child: '" + child.string() + "'"));
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  CHECK(test::has_ended(read_file(child).value()));
}

TEST_CASE("a run of an adapter goes on only with its plan, since no command of a run.json is executed") {
  const test::SystemRun measured = adapter_run(options_of(""));
  CAPTURE(measured.run().out, measured.run().err);
  REQUIRE(measured.run().status == 0);
  const std::string folder = measured.folder().string();
  test::check_refused(test::run_program({"run", "--resume", folder}, measured.options()),
                      "no command of a run.json is executed: expected --config PLAN");
  const test::ProgramRun again =
      test::run_program({"run", "--resume", folder, "--config", measured.plan().string()}, measured.options());
  CAPTURE(again.out, again.err);
  CHECK(again.status == 0);
  std::string other = read_file(measured.plan()).value();
  other += "    options: {in_flight: 2}\n";
  REQUIRE_OK(write_file(measured.scratch() / "other.yaml", other));
  const test::ProgramRun changed = test::run_program(
      {"run", "--resume", folder, "--config", (measured.scratch() / "other.yaml").string()}, measured.options());
  CAPTURE(changed.out, changed.err);
  CHECK(changed.status == 6);
  CHECK(test::contains(changed.err, "adapter it: its options changed since the run began"));
}

TEST_CASE("adapters of a plan or of the command line that cannot be are refused in one line with status 2") {
  struct Case {
    std::string how;
    const char* part;
  };
  const auto one = GENERATE(values<Case>({
      {"    url: 'http://h'\n", "expected only the keys"},
      {"    options: [a]\n", "options"},
      {"    start: a | b\n", "no shell reads this"},
      {"    start: [a]\n    python: b\n", "python: expected none beside start"},
      {"    start_deadline: soon\n", "start_deadline"},
      {"    devices: none\n", "devices: expected a number"},
      {"    bundle: other\n", "expected bundle=NAME"},
  }));
  CAPTURE(one.how);
  const test::SystemRun refused = adapter_run(one.how, {"--dry-run"});
  test::check_refused(refused.run(), one.part);
  const auto flag = [](const std::string& system) {
    return test::run_program({"run", kDefaultBundle, "--system", system, "--dry-run"});
  };
  test::check_refused(flag("it=adapter:"), "adapter: expected a name of letters");
  test::check_refused(flag("it=adapter:a b"), "adapter: expected a name of letters");
  test::check_refused(flag("it=adapter:x,a=1,a=2"), "option a: given twice");
  test::check_refused(flag("it=adapter:transformer"), "found \"transformer\"; did you mean transformers?");
  CHECK(flag("it=adapter:onnxruntime-genai").status == 0);
}

TEST_CASE("an option that an adapter refuses is bad input") {
  const test::SystemRun refused = adapter_run(options_of("dtyep: float32"));
  test::check_refused(refused.run(), "system it: the adapter: option dtyep: expected one of");
  // The message lists the adapters that come with the program.
  const test::ScratchFolder scratch;
  const test::ProgramRun unknown = test::run_program(
      {"run", kDefaultBundle, "--system", "it=adapter:nonsense", "--out", (scratch.path() / "run").string()});
  test::check_refused(unknown, "expected one of the adapters");
  CHECK(test::contains(unknown.err, "transformers"));
  const test::ProgramRun option =
      test::run_program({"run", kDefaultBundle, "--system", "it=adapter:transformers,mode=fast", "--out",
                         (scratch.path() / "run").string()});
  test::check_refused(option, "option mode: expected eager or compile, found 'fast'");
}

}  // namespace secondsource
