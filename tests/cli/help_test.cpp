// Tests --version, --help, and the answer to a mistyped command.

#include <regex>
#include <sstream>

#include "expectations.h"

using namespace secondsource::test;

namespace {

std::string help_of(std::vector<std::string> command) {
  command.emplace_back("--help");
  const ProgramRun run = run_program(command);
  CAPTURE(run.err);
  CHECK(run.status == 0);
  CHECK(run.err.empty());
  return run.out;
}

/// Returns the names below "Subcommands:" up to the next empty line.
std::vector<std::string> subcommands_in(const std::string& help) {
  std::vector<std::string> names;
  const auto begin = help.find("Subcommands:\n");
  if (begin == std::string::npos) return names;
  std::istringstream lines(help.substr(begin));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line) && !line.empty()) {
    // Continued descriptions are indented further.
    if (line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return names;
}

/// Checks that the command's help has an example of this command and that the example uses only flags that the help
/// lists. Then checks its subcommands.
int check_help(const std::vector<std::string>& command) {
  const std::string help = help_of(command);
  std::string words = "secondsource";
  for (const std::string& word : command) words += " " + word;
  CAPTURE(words, help);
  const auto example = help.find("Example: ");
  REQUIRE(example != std::string::npos);
  const std::vector<std::string> subcommands = subcommands_in(help);
  // The example of a group uses one of its subcommands, whose own help is checked below.
  CHECK(contains(help.substr(example), words));
  if (subcommands.empty()) {
    const std::string example_text = help.substr(example);
    const std::regex flag("--[a-z][a-z0-9-]*");
    for (auto at = std::sregex_iterator(example_text.begin(), example_text.end(), flag); at != std::sregex_iterator();
         ++at) {
      CAPTURE(at->str());
      CHECK(contains(help.substr(0, example), at->str()));
    }
  }
  int n_commands = 1;
  for (const std::string& name : subcommands) {
    std::vector<std::string> deeper = command;
    deeper.push_back(name);
    n_commands += check_help(deeper);
  }
  return n_commands;
}

}  // namespace

TEST_CASE("--help of every command ends with 0 and has an example with flags that exist") {
  int n_commands = 0;
  for (const std::string& name : subcommands_in(help_of({}))) n_commands += check_help({name});
  // bundle, cache and waiver have subcommands of their own.
  CHECK(n_commands >= 19);
}

TEST_CASE("--help lists the exit statuses and hides what only the program itself uses") {
  const std::string help = help_of({});
  CHECK(contains(help, "Exit statuses: 0 done, 1 regression"));
  CHECK_FALSE(contains(help, "worker"));
}

TEST_CASE("--version is one line with three numbers") {
  const ProgramRun run = run_program({"--version"});
  CHECK(run.status == 0);
  CHECK(std::regex_match(run.out, std::regex("secondsource \\d+\\.\\d+\\.\\d+\n")));
  CHECK(run.err.empty());
}

TEST_CASE("a command line that cannot be understood is refused in one line") {
  check_refused(run_program({}), "subcommand is required");
  check_refused(run_program({"nonsense"}), "secondsource: ");
  check_refused(run_program({"gate", "only-one"}), "candidate");
  check_refused(run_program({"bundle"}), "subcommand is required");
  check_refused(run_program({"report", "x", "--format", "pdf"}), "pdf");
  check_refused(run_program({"check", "x", "--threads", "-1"}), "not in range 0 to 4096");
  check_refused(run_program({"run", "--no-such-flag"}), "--no-such-flag");
}
