// Tests `secondsource check`, which checks the tokens of each backend in a separate process.

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "core/file.h"
#include "expectations.h"
#include "support/bundles.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

/// Returns the first line of the output that contains `part`, such as a backend's row or JSON record.
std::string line_with(const ProgramRun& run, std::string_view part) {
  std::istringstream lines(run.out);
  for (std::string line; std::getline(lines, line);) {
    if (contains(line, part)) return line;
  }
  return "no line with " + std::string(part) + " in:\n" + run.out + run.err;
}

/// Runs `check` on the tiny bundle with the fault in cpu and a healthy reference.
ProgramRun check_with(const std::string& fault, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"check", kTinyBundle, "--backend", "cpu,reference", "--variant", "bf16", "--fault",
                             "cpu=" + fault, "--step-deadline", "4s"});
  return run_program(more);
}

}  // namespace

TEST_CASE("check: the smoke suite of the default bundle passes on every backend") {
  const ProgramRun run = run_program({"check", kDefaultBundle, "--variant", "bf16"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  for (const std::string& backend : available_backends()) {
    CHECK(contains(line_with(run, backend + " "), "PASSED"));
  }
  CHECK_FALSE(contains(run.out, "FAILED"));
}

TEST_CASE("check --json prints a golden record a backend") {
  const ProgramRun run =
      run_program({"check", kTinyBundle, "--backend", "cpu,reference", "--variant", "int8", "--json"});
  CAPTURE(run.err);
  CHECK(run.status == 0);
  std::vector<std::string> backends;
  std::istringstream lines(run.out);
  for (std::string text; std::getline(lines, text);) {
    const auto line = nlohmann::json::parse(text);
    CHECK(line["type"] == "golden");
    CHECK(line["verdict"] == "passed");
    CHECK(line["variant"] == "int8");
    CHECK(line["n_positions"] == line["n_match"].get<int>() + line["n_near_tie"].get<int>());
    backends.push_back(line["backend"]);
  }
  CHECK(backends == std::vector<std::string>{"cpu", "reference"});
}

TEST_CASE("check: wrong tokens end with 3, with the first wrong positions and what broke which rule") {
  const ProgramRun run = check_with("garbage:1");
  CAPTURE(run.out, run.err);
  CHECK(run.status == 3);
  CHECK(contains(line_with(run, "cpu "), "FAILED"));
  CHECK(contains(line_with(run, "reference "), "PASSED"));
  CHECK(contains(run.out, "cpu bf16: tokens: expected no wrong one, found "));
  CHECK(contains(run.out, "cpu bf16: prompt "));
  CHECK(contains(run.out, ": expected id "));
  CHECK(contains(run.err, "cpu: a fault was planted on purpose: garbage:1"));
}

TEST_CASE("check: a backend that dies or hangs ends with 4 and says how, and the others' verdicts are printed") {
  const auto [fault, kind, part] = GENERATE(table<const char*, const char*, const char*>({
      {"crash:3", "CRASH", "Segmentation fault"},
      {"abort:3", "CRASH", "Aborted"},
      {"hang:3", "HANG", "killed"},
      {"fail:3", "ERROR", "fail:3"},
      {"oom:2", "OUT-OF-MEMORY", "no memory"},
  }));
  const ProgramRun run = check_with(fault);
  CAPTURE(fault, run.out, run.err);
  CHECK(run.status == 4);
  CHECK(contains(line_with(run, "cpu "), kind));
  CHECK(contains(line_with(run, "reference "), "PASSED"));
  CHECK(contains(line_with(run, "cpu bf16: "), part));
}

TEST_CASE("check: wrong tokens are more serious than a crash, and --json has both") {
  const ProgramRun run = check_with("crash:3", {"--fault", "reference=garbage:1", "--json"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 3);
  CHECK(contains(line_with(run, "\"type\":\"failure\""), "\"cell\":\"tiny-gqa8-hd64/cpu/bf16\",\"kind\":\"crash\""));
  CHECK(contains(line_with(run, "\"type\":\"golden\""), "\"verdict\":\"failed\""));
}

TEST_CASE("check: a named backend that is not there is status 4, and the others are checked") {
  const ProgramRun run = run_program({"check", kTinyBundle, "--backend", "tpu,reference", "--variant", "bf16"});
  CAPTURE(run.out);
  CHECK(run.status == 4);
  CHECK(contains(line_with(run, "tpu "), "UNAVAILABLE"));
  CHECK(contains(line_with(run, "tpu bf16: "), "this program has "));
  CHECK(contains(line_with(run, "reference "), "PASSED"));
}

TEST_CASE("check: an option that the backend refuses is bad input, and no failure of the backend") {
  const ProgramRun run = run_program(
      {"check", kTinyBundle, "--backend", "cpu", "--variant", "bf16", "--backend-option", "cpu:isa=nonsense"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 2);
  CHECK(contains(line_with(run, "cpu bf16: "), "bad-input: backend cpu: option isa: expected one of"));
}

TEST_CASE("check: without expected outputs there is no verdict, and no pass") {
  const ScratchFolder scratch;
  const std::string bundle = (scratch.path() / "b").string();
  REQUIRE(run_program({"bundle", "synth", "--like", "small-gqa8-hd64", "--out", bundle}).status == 0);
  const ProgramRun run = run_program({"check", bundle, "--backend", "cpu", "--variant", "bf16"});
  CHECK(run.status == 6);
  CHECK(contains(line_with(run, "cpu "), "UNVERIFIED"));
  CHECK(contains(run.out, "no independent expected outputs for bf16"));
  CHECK(run_program({"check", bundle, "--backend", "cpu", "--variant", "bf16", "--allow-unverified"}).status == 0);
}

TEST_CASE("check and run: without expected outputs, prompts that the model cannot take are counted and named") {
  const ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "model";
  std::filesystem::create_directories(folder / "prompts");
  for (const char* const file : {"config.json", "model.safetensors", "tokenizer.json"}) {
    std::filesystem::copy(std::filesystem::path(kTinyBundle) / file, folder / file);
  }
  REQUIRE_OK(write_file(folder / "tokenizer_config.json",
                        R"({"chat_template": "{{ raise_exception('no conversations here') }}"})"));
  std::string suite = "suite_format: 1\nname: talk\nlicense: MIT\nprompts:\n";
  for (const char* const id : {"talk-1", "talk-2"}) {
    suite += fmt::format(
        "  - {{id: {}, tags: [smoke], kind: short-chat, max_new_tokens: 1, messages: [{{role: user, content: Hi}}]}}\n",
        id);
  }
  suite += "  - {id: ids-1, tags: [smoke], kind: short-chat, max_new_tokens: 1, ids: [1, 2]}\n";
  REQUIRE_OK(write_file(folder / "prompts/talk.yaml", suite));
  constexpr std::string_view kWhy = "2 prompts (talk-1, ...) are skipped: ";

  const ProgramRun check = run_program({"check", folder, "--backend", "reference", "--variant", "bf16", "--json"});
  CAPTURE(check.out, check.err);
  CHECK(check.status == 6);
  const auto record = nlohmann::json::parse(check.out);
  CHECK(record["verdict"] == "unverified");
  CHECK(record["n_skipped"] == 2);
  REQUIRE(record["reasons"].size() == 2);
  CHECK(contains(record["reasons"][0].get<std::string>(), "no independent expected outputs for bf16"));
  CHECK(contains(record["reasons"][0].get<std::string>(),
                 "`secondsource bundle create --from-hf " + folder.string() + " --out BUNDLE`"));
  CHECK(record["reasons"][1].get<std::string>().starts_with(kWhy));
  CHECK(contains(record["reasons"][1].get<std::string>(), "no conversations here"));

  const ProgramRun run = run_program({"run", folder, "--backend", "reference", "--variant", "bf16", "--scenario",
                                      "offline:1@/2", "--repetitions", "1", "--out", scratch.path() / "run"});
  CAPTURE(run.out, run.err);
  CHECK(contains(run.out, kWhy));
  const auto samples = read_file(scratch.path() / "run" / "samples.jsonl");
  REQUIRE_OK(samples);
  CHECK(contains(*samples, "\"n_skipped\":2"));
}

TEST_CASE("check refuses in one line what it cannot do") {
  check_refused(run_program({"check"}), "check: expected the argument bundle, found none");
  check_refused(run_program({"check", "/nowhere"}), "/nowhere");
  check_refused(run_program({"check", kTinyBundle, "--variant", "int3"}), "int3");
  check_refused(run_program({"check", kTinyBundle, "--variant", "bf16,in8"}), "found \"in8\"; did you mean int8?");
  // A variant of weights that the bundle does not have is refused. --allow-unverified only concerns expected outputs.
  check_refused(run_program({"check", kTinyBundle, "--variant", "bf16,gptq-int4-g128", "--allow-unverified"}),
                "found \"gptq-int4-g128\"");
  check_refused(run_program({"check", kTinyBundle, "--suite", "nonsense"}), "suite \"nonsense\"");
  check_refused(run_program({"check", kTinyBundle, "--step-deadline", "soon"}), "found \"soon\"");
  check_refused(run_program({"check", kTinyBundle, "--fault", "cpu"}), "expected BACKEND=KIND");
  check_refused(run_program({"check", kTinyBundle, "--fault", "cpu=explode"}), "explode");
  check_refused(run_program({"check", kTinyBundle, "--fault", "cpu=slow:20", "--fault", "cpu=garbage"}),
                "fault \"cpu=garbage\": expected one fault for a backend; cpu has slow:20 already");
  check_refused(run_program({"check", kTinyBundle, "--backend", "cpu", "--fault", "gpu=crash"}),
                "one of the backends that are checked, which are cpu");
}
