// `ab` over two systems: servers and containers that the program starts, and servers that run already. The servers are
// stand-ins (tests/serving/stand_in.py) that wait a known time before each token. podman is a stand-in too
// (podman_stand_in.py).

#include <filesystem>
#include <nlohmann/json.hpp>

#include "ab/ab_record.h"
#include "core/child_process.h"
#include "core/clock.h"
#include "core/file.h"
#include "expectations.h"
#include "gate/gate_record.h"
#include "support/own_cache.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/stand_in.h"
#include "system_run.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

const std::string kServed = test::source_path("bundles/default");
constexpr const char* kDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The arguments of a stand-in, as elements of a YAML list. Its times depend on the waits that these arguments set, and
/// hardly on what else the machine does.
std::string stand_in_words(const std::string& more) {
  return "--dialect, vllm, --bundle, '" + kServed + "', --model, '{model}', --port, '{port}', --first-ms, '10'" +
         (more.empty() ? "" : ", " + more);
}

std::string process_entry(const std::string& name, const std::string& more = "--gap-ms, '2'") {
  return "  - name: " + name + "\n    preset: vllm\n    variant: bf16\n    start: [python3, '" +
         test::source_path("tests/serving/stand_in.py") + "', " + stand_in_words(more) + "]\n";
}

std::string image_entry(const std::string& name) {
  return "  - name: " + name + "\n    preset: vllm\n    variant: bf16\n    engine: '" +
         test::source_path("tests/serving/podman_stand_in.py") + "'\n    image: 'localhost/stand-in@" + kDigest +
         "'\n    start: [" + stand_in_words("--gap-ms, '2'") + "]\n";
}

/// A comparison by a plan with these systems, in a folder and a cache of its own.
class Comparison {
 public:
  explicit Comparison(const std::string& systems) {
    options_.environment = {{"SECONDSOURCE_TEST_PODMAN", scratch_.path().string()},
                            test::own_cache(scratch_.path() / "cache")};
    options_.timeout = std::chrono::seconds(300);
    REQUIRE_OK(write_file(plan(), "version: 1\nbundles: ['" + kServed +
                                      "']\nvariants: [bf16]\nscenarios: ['single-stream+requests=3@16/4']\n"
                                      "cell_budget: 50ms\nstep_deadline: 20s\n" +
                                      (systems.empty() ? "" : "systems:\n" + systems)));
  }

  [[nodiscard]] std::vector<std::string> arguments(const std::vector<std::string>& more) const {
    std::vector<std::string> words = {"ab", "--config", plan().string(), "--out", folder().string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  [[nodiscard]] test::ProgramRun run(const std::vector<std::string>& more) const {
    return test::run_program(arguments(more), options_);
  }
  [[nodiscard]] test::ProgramRun resume() const {
    return test::run_program({"ab", "--resume", folder().string()}, options_);
  }
  [[nodiscard]] fs::path plan() const { return scratch_.path() / "plan.yaml"; }
  [[nodiscard]] fs::path folder() const { return scratch_.path() / "ab"; }
  [[nodiscard]] fs::path scratch() const { return scratch_.path(); }
  [[nodiscard]] const test::ProgramOptions& options() const { return options_; }
  [[nodiscard]] std::vector<ProcessLine> lines() const {
    const auto pairs = pairs_from_text(read_file(folder() / "pairs.jsonl").value(), "pairs.jsonl");
    REQUIRE_OK(pairs);
    return pairs->lines;
  }

 private:
  test::ScratchFolder scratch_;
  test::ProgramOptions options_;
};

std::vector<std::int64_t> starts_of(const std::vector<ProcessLine>& lines, Arm arm) {
  std::vector<std::int64_t> starts;
  for (const ProcessLine& line : lines) {
    if (line.arm == arm) starts.push_back(line.server_start.value_or(-1));
  }
  return starts;
}

}  // namespace

TEST_CASE("ab over two servers: the same one twice is not regressed, and both are started anew after their pairs") {
  const Comparison same(process_entry("old") + process_entry("new"));
  const test::ProgramRun run =
      same.run({"--base", "old", "--cand", "new", "--max-pairs", "3", "--pairs-per-start", "2"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 5);  // three pairs are too few for a verdict
  CHECK(test::contains(run.out, "gate: 0 regressed, 2 inconclusive"));
  CHECK(test::contains(run.out, "default/new/bf16/single-stream"));
  CHECK(test::contains(run.out, "compared: the two sides report no difference"));
  CHECK(test::contains(run.out, "tokens: base passed (forced), candidate passed (forced)"));
  CHECK(
      test::contains(run.out, "side by side, servers started anew after every 2 pairs: base 2 and candidate 2 starts"));
  CHECK(starts_of(same.lines(), Arm::kBase) == std::vector<std::int64_t>{0, 0, 1});
  CHECK(starts_of(same.lines(), Arm::kCandidate) == std::vector<std::int64_t>{0, 0, 1});
}

TEST_CASE("ab over two servers: a slow one is found, and what differs is what is compared and no refusal") {
  const Comparison slow(process_entry("old", "--gap-ms, '2', --version, 1.2.3") +
                        process_entry("new", "--gap-ms, '40', --version, 1.3.0"));
  const test::ProgramRun run = slow.run({"--base", "old", "--cand", "new", "--max-pairs", "10", "--format", "json"});
  CAPTURE(run.out, run.err);
  REQUIRE(run.status == 1);
  const auto report = gate_report_from_json(run.out, "gate");
  REQUIRE_OK(report);
  REQUIRE(report->verdicts.size() == 2);
  CHECK(report->verdicts[0].metric == "cost");
  CHECK(report->verdicts[0].decision == Decision::kRegressed);
  CHECK(report->losses.empty());  // a server's operations cannot be profiled
  CHECK(std::ranges::find(report->compared, "compared: version: \"1.2.3\" and \"1.3.0\"") != report->compared.end());
}

TEST_CASE("ab over two servers: wrong tokens end with 3, before anything is timed") {
  const Comparison wrong(process_entry("old") + process_entry("new", "--wrong-scores, --wrong-token, '1'"));
  const test::ProgramRun run = wrong.run({"--base", "old", "--cand", "new"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 3);
  CHECK(test::contains(run.out, "wrong tokens: new/bf16"));
  CHECK(wrong.lines().empty());
}

TEST_CASE("ab over two images: one at a time where both do not fit, and the report says what that costs") {
  const Comparison images(image_entry("it"));
  const test::ProgramRun run = images.run(
      {"--base", "it", "--cand", std::string("localhost/stand-in@") + kDigest, "--max-pairs", "2", "--alternate"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 5);
  CHECK(test::contains(run.out,
                       "sittings: alternating, one server at a time, started anew for each process: base 2 and "
                       "candidate 2 starts"));
  CHECK(starts_of(images.lines(), Arm::kBase) == std::vector<std::int64_t>{0, 1});
  for (const ProcessLine& line : images.lines()) CHECK(line.start_s > 0);
  for (const auto& entry : fs::directory_iterator(images.scratch())) {
    CHECK_FALSE(entry.path().filename().string().starts_with("container-secondsource-"));
  }
}

TEST_CASE("ab over two servers that are there already: neither is started or stopped") {
  test::StandIn old_one({"--dialect", "vllm", "--bundle", kServed, "--first-ms", "10", "--gap-ms", "2"});
  test::StandIn new_one({"--dialect", "vllm", "--bundle", kServed, "--first-ms", "10", "--gap-ms", "2"});
  const Comparison endpoints("");
  const test::ProgramRun run = endpoints.run({"--base", "it=" + old_one.url() + ",preset=vllm,variant=bf16", "--cand",
                                              "it=" + new_one.url() + ",preset=vllm,variant=bf16", "--max-pairs", "1"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 5);
  CHECK(test::contains(run.out, "base: its server was running already and was not restarted"));
  CHECK(test::contains(run.out, "compared: address: "));
  CHECK(starts_of(endpoints.lines(), Arm::kBase) == std::vector<std::int64_t>{-1});
}

TEST_CASE("ab over two servers: one that dies twice while it is measured ends with 4 and its last words") {
  // The server dies at a request after the golden prompts and the shortest scenario, and before the pairs are complete.
  const Comparison dying(process_entry("old") +
                         process_entry("new", "--first-ms, '25', --gap-ms, '2', --after, '20', --then, exit"));
  const test::ProgramRun run =
      dying.run({"--base", "old", "--cand", "new", "--max-pairs", "20", "--pairs-per-start", "20"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 4);
  CHECK(test::contains(run.out, "the server ended with exit status 7: fatal: the engine died"));
  // On a busy machine a process may also be INVALID. It is repeated and does not count as a death of the server.
  int n_deaths = 0;
  for (const ProcessLine& line : dying.lines()) n_deaths += test::contains(line.failure, "the engine died") ? 1 : 0;
  CHECK(n_deaths == 2);
}

TEST_CASE("ab over two servers: an interrupt ends both servers, and the comparison goes on where it was") {
  const test::ScratchFolder children;
  const fs::path child = children.path() / "child";
  const Comparison interrupted(process_entry("old") +
                               process_entry("new", "--gap-ms, '2', --child, '" + child.string() + "'"));
  ChildCommand command;
  command.program = test::program_path();
  command.arguments = interrupted.arguments({"--base", "old", "--cand", "new", "--max-pairs", "3"});
  command.environment = interrupted.options().environment;
  command.stderr_file = children.path() / "stderr";
  {
    auto process = ChildProcess::start(command);
    REQUIRE_OK(process);
    const fs::path pairs = interrupted.folder() / "pairs.jsonl";
    std::error_code absent;
    for (const std::int64_t until_ns = now_ns() + 100'000'000'000; now_ns() < until_ns;) {
      if (fs::file_size(pairs, absent) > 0 && !absent) break;
      (void)process->wait(now_ns() + 50'000'000);
    }
    process->terminate();
    std::optional<ChildExit> exit;
    while (!exit) exit = process->wait(now_ns() + 60'000'000'000);
    CHECK(exit->status == 130);
  }
  CHECK(test::has_ended(read_file(child).value()));
  const std::vector<ProcessLine> before = interrupted.lines();
  REQUIRE_FALSE(before.empty());
  const test::ProgramRun resumed = interrupted.resume();
  CAPTURE(resumed.out, resumed.err);
  CHECK(resumed.status == 5);
  CHECK(test::contains(resumed.out, "gate: 0 regressed, 2 inconclusive"));
  const std::vector<ProcessLine> after = interrupted.lines();
  REQUIRE(after.size() > before.size());
  CHECK(after[before.size()].server_start.value_or(0) > before.back().server_start.value_or(0));
  REQUIRE_OK(write_file(interrupted.folder() / "candidate.yaml", "version: 1\n"));
  const test::ProgramRun changed = interrupted.resume();
  CHECK(changed.status == 6);
  CHECK(test::contains(changed.err, "candidate.yaml changed since the comparison began"));
}

TEST_CASE("ab over systems: what names nothing, or does not fit together, is refused in one line with status 2") {
  struct Case {
    std::vector<std::string> more;
    const char* part;
  };
  const auto one = GENERATE(values<Case>({
      {{"--base", "old", "--cand", "nwe"}, "a system of the plan (old, new)"},
      {{"--base", "old"}, "expected systems for both"},
      {{"--base", "old", "--cand", "new", "--backend", "cpu"},
       "--backend: expected no such flag when two systems are compared"},
      {{"--base", "old", "--cand", "new", "--cand-args", "--threads 1"}, "--cand-args: expected no such flag"},
      {{"--base", "old", "--cand", "docker.io/vllm@sha256:12"}, "expected a system of the plan with an image"},
      {{"--base", "old", "--cand", "new=ftp://x"}, "expected a program, a system of the plan"},
      {{}, "systems: expected --base and --cand to name two of them"},
      {{"--base", "old", "--cand", "new", "--scenario", "swap:2models"},
       "scenario swap:2models: expected a scenario of one model, since ab compares with one bundle, found a mix of several"},
      {{"--base", "old=http://127.0.0.1:9", "--cand", "new=http://127.0.0.1:8", "--alternate"},
       "--alternate: expected a server that ab starts as --base or --cand, found none"},
  }));
  CAPTURE(one.more);
  const Comparison refused(process_entry("old") + process_entry("new"));
  test::check_refused(refused.run(one.more), one.part);
  CHECK_FALSE(fs::exists(refused.folder() / "ab.json"));
}

TEST_CASE("up: a server of the plan stays until standard input ends, and one that does not come up is status 4") {
  const test::ScratchFolder children;
  const fs::path child = children.path() / "child";
  const Comparison plan(process_entry("fine", "--child, '" + child.string() + "'") +
                        process_entry("broken", "--at-start, crash"));
  const std::string config = plan.plan().string();
  const auto up = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"up", "--config", config, "--log", (children.path() / "log").string()};
    words.insert(words.end(), more.begin(), more.end());
    return test::run_program(words, plan.options());
  };
  const test::ProgramRun fine = up({"fine"});  // `up` ends at once because its standard input is empty
  CAPTURE(fine.out, fine.err);
  CHECK(fine.status == 0);
  CHECK(fine.out.starts_with("http://127.0.0.1:"));
  CHECK(test::has_ended(read_file(child).value()));
  const test::ProgramRun broken = up({"broken"});
  CAPTURE(broken.out, broken.err);
  CHECK(broken.status == 4);
  CHECK(broken.out.empty());
  CHECK(test::contains(broken.err, "the server ended with exit status 7: fatal: the engine died"));
  test::check_refused(up({"other"}), "expected the name of one of its systems with start or image (fine, broken)");
}

}  // namespace secondsource
