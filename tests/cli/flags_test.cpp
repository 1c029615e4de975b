// What the flags of all commands have in common: an empty value is refused, so that a variable of a script that is not set
// cannot change what a command does.

#include "core/file.h"
#include "expectations.h"
#include "support/bundles.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("an empty value is refused, and not taken for a flag that was not given") {
  const std::vector<std::vector<std::string>> commands = {
      {"run", kTinyBundle, "--baseline"},
      {"run", kTinyBundle, "--require"},
      {"run", kTinyBundle, "--backend"},
      {"run", kTinyBundle, "--resume"},
      {"run", kTinyBundle, "--waivers"},
      {"run", kTinyBundle, "--out"},
      {"run", kTinyBundle, "--max-time"},
      {"run", kTinyBundle, "--slo"},
      {"run", kTinyBundle, "--client"},
      {"run", "--config"},
      {"ab", kTinyBundle, "--base"},
      {"ab", kTinyBundle, "--sarif"},
      {"bundle", "outputs", kTinyBundle, "--out"},
      {"brief", "--prices", "x", "--demand", "x", "--out", "x", "--date"},
      {"fit", "Llama-3.1-8B", "--hardware"},
      {"gate", "x", "y", "--waivers"},
      {"generate", kTinyBundle, "--ids", "1", "--variant"},
      {"history", "add", "x", "--branch"},
      {"history", "check", "--db"},
      {"init", "--repo"},
      {"prices", "list", "x", "--region"},
      {"report", "x", "--gate"},
  };
  for (std::vector<std::string> arguments : commands) {
    CAPTURE(arguments);
    const std::string flag = arguments.back();
    std::vector<std::string> with_equals = arguments;
    with_equals.back() += '=';
    arguments.emplace_back();
    for (const auto& given : {arguments, with_equals}) {
      check_refused(run_program(given), flag + ": expected a value, found \"\"");
    }
  }
}

TEST_CASE("the word behind `--flag=` is no value of that flag") {
  check_refused(run_program({"run", "--baseline=", kTinyBundle}), "--baseline: expected a value, found \"\"");
}

TEST_CASE("an empty argument is refused, and so is an empty part of a list") {
  check_refused(run_program({"report", ""}), "the argument runs: expected a value, found \"\"");
  check_refused(run_program({"report", "x", ""}), "the argument runs: expected values that are not empty");
  check_refused(run_program({"run", kTinyBundle, "--backend", "cpu,,reference"}),
                "--backend: expected values that are not empty, found \"cpu,,reference\"");
}

TEST_CASE("a few values may be empty, because that says something") {
  const ScratchFolder scratch;
  for (const auto& text : {std::vector<std::string>{"--text", ""}, std::vector<std::string>{"--text="}}) {
    std::vector<std::string> arguments = {"tokenize", source_path("bundles/default"), "--no-add-special"};
    arguments.insert(arguments.end(), text.begin(), text.end());
    CHECK(run_program(arguments).out == "{\"ids\":[]}\n");
  }
  const ProgramRun added = run_program({"history", "add", source_path("reports/samples/runs/cpu"), "--label", "",
                                        "--db", (scratch.path() / "history.db").string()});
  CAPTURE(added.err);
  CHECK(added.status == 0);
}
