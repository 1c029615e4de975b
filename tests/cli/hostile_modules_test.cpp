// Modules that crash, end the process or never return when they are opened (hostile_module.cpp): every command works
// without them, and a module that is not requested is not opened.

#include <chrono>

#include "expectations.h"
#include "support/bundles.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

ProgramRun run_beside_hostile(const std::vector<std::string>& arguments) {
  return run_program(arguments, {.environment = {{"SECONDSOURCE_MODULES", SS_TEST_HOSTILE_MODULES},
                                                 {"SECONDSOURCE_PROBE_DEADLINE", "3s"}}});
}

/// The part of the table of `backends` that is about one module.
std::string entry_of(const std::string& table, const std::string& module) {
  const auto begin = ("\n" + table).find("\n" + module + " ");
  if (begin == std::string::npos) return "";
  const auto end = table.find("\n", table.find("why: ", begin));
  return table.substr(begin, end - begin);
}

}  // namespace

TEST_CASE("backends says of each hostile module what it did, and describes the others") {
  const ProgramRun run = run_beside_hostile({"backends"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  CHECK(contains(entry_of(run.out, "crashes"), "ended with signal 11"));
  CHECK(contains(entry_of(run.out, "exits"), "ended with exit status 0"));
  CHECK(contains(entry_of(run.out, "sleeps"), "was not open after 3.00 s; the process that opened it was killed"));
  CHECK(contains(run.out, "reference  available"));
  CHECK(contains(run.out, "weights: "));
}

TEST_CASE("a run of a named backend does not open the modules beside it") {
  const ScratchFolder scratch;
  const auto began = std::chrono::steady_clock::now();
  const ProgramRun run = run_beside_hostile({"run", kTinyBundle, "--backend", "reference", "--variant", "bf16",
                                             "--scenario", "single-stream@/2", "--repetitions", "1", "--dry-run"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  // Opening the module that never returns would have taken the whole deadline.
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(3));
}

TEST_CASE("a run of all backends lists hostile modules as unavailable, and measures the others") {
  const ScratchFolder scratch;
  const ProgramRun run =
      run_beside_hostile({"run", kTinyBundle, "--variant", "bf16", "--scenario", "single-stream@/2", "--repetitions",
                          "1", "--json", "--out", (scratch.path() / "run").string()});
  CAPTURE(run.out, run.err);
  REQUIRE((run.status == 0 || run.status == 6));
  const auto result = nlohmann::json::parse(run.out);
  CHECK(
      contains(result["unavailable"].dump(), "crashes: unavailable: the process that opened it ended with signal 11"));
  CHECK(contains(result["unavailable"].dump(), "exits: unavailable: the process that opened it ended with exit"));
  CHECK(contains(result["unavailable"].dump(), "sleeps: unavailable: it was not open after"));
  CHECK_FALSE(result["summary"]["cells"].empty());
}

TEST_CASE("a hostile module that is asked for is a failure with its reason, and never an exit status of its own") {
  for (const auto& [name, part] : {std::pair<std::string, std::string>{"crashes", "signal 11"},
                                   {"exits", "exit status 0"},
                                   {"sleeps", "was not open after"}}) {
    CAPTURE(name);
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"run", kTinyBundle, "--backend", name},
          std::vector<std::string>{"check", kTinyBundle, "--backend", name, "--variant", "bf16"},
          std::vector<std::string>{"generate", kTinyBundle, "--backend", name, "--prompt", "x"}}) {
      const ProgramRun run = run_beside_hostile(arguments);
      CAPTURE(arguments.front(), run.out, run.err);
      CHECK(run.status == 4);
      CHECK(contains(run.out + run.err, part));
    }
  }
}
