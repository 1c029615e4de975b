// One backend fails in each possible way. The other one must complete, and the run must report what happened.

#include <nlohmann/json.hpp>

#include "record/record_json.h"
#include "support/bundles.h"
#include "support/catch.h"
#include "support/program.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

using nlohmann::json;

using test::kTinyBundle;

struct FaultyRun {
  test::ProgramRun run;
  json result;
};

/// Runs the backends cpu and reference; cpu has the fault.
FaultyRun run_with(const std::string& fault, const test::ScratchFolder& scratch,
                   const std::vector<std::string>& more = {},
                   const std::string& scenarios = "single-stream@/6,offline:2@/6") {
  const std::string out = (scratch.path() / "run").string();
  std::vector<std::string> arguments = {"run",       kTinyBundle, "--backend", "cpu,reference",
                                        "--variant", "bf16",      "--json"};
  for (const std::string& text : {std::string("--scenario"), scenarios, std::string("--repetitions"), std::string("1"),
                                  std::string("--step-deadline"), std::string("4s"), std::string("--fault"),
                                  "cpu=" + fault, std::string("--out"), out}) {
    arguments.push_back(text);
  }
  arguments.insert(arguments.end(), more.begin(), more.end());
  FaultyRun result{test::run_program(arguments), {}};
  CAPTURE(result.run.err);
  result.result = json::parse(result.run.out, nullptr, false);
  return result;
}

std::string status_of(const json& result, const std::string& backend, const std::string& scenario) {
  for (const json& cell : result["summary"]["cells"]) {
    if (cell["key"]["backend"] == backend && cell["key"]["scenario"] == scenario) return cell["status"];
  }
  return "absent";
}

TEST_CASE("a backend that fails is a row with its cause, and the others complete") {
  struct Case {
    const char* fault;
    const char* kind;
    const char* part;
  };
  const Case cases[] = {
      {"crash:3", "crash", "Segmentation fault"},
      {"abort:3", "crash", "Aborted"},
      {"fail:3", "error", ""},
      {"hang:3", "hang", "killed"},
      {"stall:3", "hang", ""},
      {"oom:2", "out-of-memory", ""},
      {"oom-kv:1", "out-of-memory", ""},
  };
  for (const Case& one : cases) {
    const test::ScratchFolder scratch;
    const FaultyRun faulty = run_with(one.fault, scratch);
    CAPTURE(one.fault, faulty.run.err, faulty.run.out);
    CHECK(faulty.run.status == 4);
    REQUIRE(faulty.result.is_object());
    CHECK(faulty.result["statuses"] == json::array({4}));
    CHECK(status_of(faulty.result, "cpu", "single-stream") == "failed");
    CHECK(status_of(faulty.result, "reference", "single-stream") == "complete");
    CHECK(status_of(faulty.result, "reference", "offline-b2") == "complete");
    REQUIRE(faulty.result["summary"]["failures"].size() > 0);
    const json& failure = faulty.result["summary"]["failures"][0];
    CHECK(failure["kind"] == one.kind);
    CHECK(failure["backend"] == "cpu");
    CHECK(failure["message"].get<std::string>().find(one.part) != std::string::npos);
    // The record names the injected fault, so that such a run cannot be mistaken for a clean one.
    CHECK(read_run(scratch.path() / "run")->record.backends.front().options.back() ==
          std::pair<std::string, std::string>("fault", one.fault));
  }
}

TEST_CASE("memory that runs out is recognised under a limit") {
  const test::ScratchFolder scratch;
  const FaultyRun faulty = run_with("eat-memory:4", scratch, {"--memory-max", "1GiB"});
  CAPTURE(faulty.run.err);
  CHECK(faulty.run.status == 4);
  REQUIRE(faulty.result.is_object());
  CHECK(faulty.result["summary"]["failures"][0]["kind"] == "out-of-memory");
  CHECK(status_of(faulty.result, "reference", "offline-b2") == "complete");
}

TEST_CASE("wrong tokens end with status 3 and stand in the result and the journal") {
  const test::ScratchFolder scratch;
  const FaultyRun faulty = run_with("garbage:1", scratch);
  CAPTURE(faulty.run.err);
  CHECK(faulty.run.status == 3);
  REQUIRE(faulty.result.is_object());
  CHECK(faulty.result["wrong_tokens"] == true);
  for (const json& golden : faulty.result["summary"]["golden"]) {
    CAPTURE(golden.dump());
    CHECK(golden["verdict"] == (golden["backend"] == "cpu" ? "failed" : "passed"));
  }
  CHECK(faulty.run.err.find("golden pass failed") != std::string::npos);
  CHECK(status_of(faulty.result, "reference", "single-stream") == "complete");
}

TEST_CASE("tokens that go wrong only after the golden pass are found in the timed requests") {
  const test::ScratchFolder scratch;
  // The golden pass of this bundle takes some twenty steps. From step 100 on, every token is wrong.
  const FaultyRun faulty = run_with("garbage:100", scratch, {}, "single-stream@/10");
  CAPTURE(faulty.run.err);
  CHECK(faulty.run.status == 3);
  REQUIRE(faulty.result.is_object());
  CHECK(faulty.result["wrong_tokens"] == true);
  for (const json& golden : faulty.result["summary"]["golden"]) CHECK(golden["verdict"] == "passed");
  for (const json& cell : faulty.result["summary"]["cells"]) {
    CAPTURE(cell.dump());
    CHECK(cell["golden"] == (cell["key"]["backend"] == "cpu" ? "failed" : "passed"));
  }
}

TEST_CASE("a crash between two cells costs that cell, and a fresh worker takes the next") {
  const test::ScratchFolder scratch;
  // The fault counts submits from the start of each worker. The replacement worker does not repeat the golden pass, so it
  // finishes its cell before it reaches that count.
  const FaultyRun faulty = run_with("crash:150", scratch, {}, "single-stream@/10,offline:2@/2");
  CAPTURE(faulty.run.err);
  CHECK(faulty.run.status == 4);
  REQUIRE(faulty.result.is_object());
  CHECK(status_of(faulty.result, "cpu", "single-stream") == "failed");
  CHECK(status_of(faulty.result, "cpu", "offline-b2") == "complete");
  CHECK(faulty.result["summary"]["failures"][0]["cell"] == "tiny-gqa8-hd64/cpu/bf16/single-stream");
}

TEST_CASE("two things at once: the first in the order of statuses, and JSON lists both") {
  const test::ScratchFolder scratch;
  const FaultyRun faulty = run_with("crash:2", scratch, {"--fault", "reference=garbage:1"});
  CAPTURE(faulty.run.err);
  CHECK(faulty.run.status == 3);
  REQUIRE(faulty.result.is_object());
  CHECK(faulty.result["statuses"] == json::array({3, 4}));
}

TEST_CASE("a full stdout is an I/O failure") {
  const test::ScratchFolder scratch;
  test::ProgramOptions options;
  options.out_path = "/dev/full";
  const test::ProgramRun run =
      test::run_program({"run", kTinyBundle, "--backend", "reference", "--variant", "bf16", "--scenario",
                         "single-stream@/2", "--repetitions", "1", "--out", (scratch.path() / "run").string()},
                        options);
  CHECK(run.status == 70);
}

}  // namespace
}  // namespace secondsource
