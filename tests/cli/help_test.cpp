// Tests --version, --help, the manual pages and completions that are made from the help, and the answer to a mistyped command.

#include <stdio.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <sstream>

#include "core/file.h"
#include "expectations.h"
#include "support/hostile_texts.h"
#include "support/scratch_folder.h"

using namespace secondsource;
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

/// Returns the names of the commands that the help lists, in its order. They are below "Subcommands:" or, in the help of
/// the program itself, below one heading per group.
std::vector<std::string> subcommands_in(const std::string& help) {
  std::vector<std::string> names;
  std::istringstream lines(help);
  std::string line;
  bool in_commands = false;
  while (std::getline(lines, line)) {
    const bool is_heading = !line.empty() && line[0] != ' ' && line.back() == ':';
    if (is_heading) in_commands = line != "Options:" && line != "Arguments:";
    // Continued descriptions are indented further.
    const bool is_entry = line.size() > 2 && line.substr(0, 2) == "  " && line[2] != ' ';
    if (in_commands && is_entry) names.push_back(line.substr(2, line.find(' ', 2) - 2));
    if (line.empty()) in_commands = false;
  }
  return names;
}

/// The index of a word in a list; the length of the list if the word does not occur.
std::ptrdiff_t place_of(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) - words.begin();
}

/// Checks that no line is wider than a terminal of 80 columns.
void check_columns(const std::string& help) {
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    CAPTURE(line);
    CHECK(line.size() <= 80);
  }
}

/// Checks that the command's help has an example of this command, and that the example uses only flags that the help
/// lists. Then checks the subcommands in the same way. Returns the number of commands checked.
int check_help(const std::vector<std::string>& command) {
  const std::string help = help_of(command);
  std::string words = "secondsource";
  for (const std::string& word : command) words += " " + word;
  CAPTURE(words, help);
  check_columns(help);
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

TEST_CASE("an example that takes several lines can be pasted: each line but the last ends with a backslash") {
  const std::string help = help_of({"run"});
  const std::string example = help.substr(help.find("Example: "));
  CAPTURE(example);
  CHECK(std::count(example.begin(), example.end(), '\n') > 1);
  for (std::size_t end = example.find('\n'); end + 1 < example.size(); end = example.find('\n', end + 1)) {
    CHECK(example.substr(end - 2, 2) == " \\");
  }
}

/// The completions, one per line, that bash offers for the last of the words with the script of `completion bash`.
std::string completed(const std::string& words) {
  const ScratchFolder folder;
  const std::string script =
      run_program({"completion", "bash"}).out + "COMP_WORDS=(" + words +
      ")\nCOMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))\n_secondsource\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
  const std::filesystem::path file = folder.path() / "script.bash";
  REQUIRE(write_file(file, script));
  FILE* bash = ::popen(("bash " + file.string() + " 2>&1").c_str(), "r");
  REQUIRE(bash != nullptr);
  std::string out;
  for (int c = std::fgetc(bash); c != EOF; c = std::fgetc(bash)) out += static_cast<char>(c);
  CHECK(::pclose(bash) == 0);
  return out;
}

TEST_CASE("bash completes commands, their flags, the values of a flag that has a fixed set, and names in lists") {
  CHECK(completed("secondsource ver") == "verify\n");
  CHECK(completed("secondsource bundle cr") == "create\n");
  CHECK(completed("secondsource run --bat") == "--batching\n");
  CHECK(completed("secondsource run bundles/default --batching ''") == "continuous\nstatic\ndynamic\n");
  CHECK(completed("secondsource waiver check --ga") == "--gate\n");
  CHECK(completed("secondsource generate --backend ref") == "reference\n");
  CHECK(completed("secondsource run --require cpu,re") == "cpu,reference\n");
  CHECK(completed("secondsource run --variant int8-g") == "int8-g32\nint8-g32-w8a8\n");
  CHECK(completed("secondsource run --variant bf16,int4-") == "bf16,int4-w8a8\n");
  CHECK(completed("secondsource run --out ''") == "\n");  // none offered: bash completes file names
  CHECK_FALSE(contains(run_program({"completion", "bash"}).out, "worker"));
}

TEST_CASE("the completions of all shells name every command and its flags; an unknown shell is refused") {
  const std::vector<std::string> commands = subcommands_in(help_of({}));
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const ProgramRun run = run_program({"completion", shell});
    CAPTURE(shell, run.err);
    CHECK(run.status == 0);
    for (const std::string& command : commands) CHECK(contains(run.out, command));
    CHECK(contains(run.out, std::string(shell) == "fish" ? "-l from-hf" : "--from-hf"));
    // A list, of which the last value is completed behind a comma.
    const std::string list = std::string(shell) == "bash"  ? "compgen -P \"$before\" -W "
                             : std::string(shell) == "zsh" ? "_values -s , value f32 bf16 "
                                                           : "(__fish_append , f32 bf16 ";
    CHECK(contains(run.out, list));
  }
  check_refused(run_program({"completion", "tcsh"}), "tcsh");
}

TEST_CASE("fish offers the flags of a command not for a subcommand of the same name") {
  const std::string script = run_program({"completion", "fish"}).out;
  // The line of `secondsource check`, which begins its condition, unlike those of `history check` and the like.
  const std::string begin = "'__fish_seen_subcommand_from check;";
  REQUIRE(contains(script, begin));
  const std::string line = script.substr(script.find(begin));
  const std::string condition = line.substr(0, line.find('\n'));
  CAPTURE(condition);
  CHECK(contains(condition, "__fish_seen_subcommand_from check; and not __fish_seen_subcommand_from "));
  for (const char* parent : {"history", "prices", "waiver"}) CHECK(contains(condition, std::string(" ") + parent));
  CHECK(contains(script, "'__fish_seen_subcommand_from waiver; and __fish_seen_subcommand_from check' -l gate "));
}

TEST_CASE("there is a manual page for each command, with its flags and its example") {
  const ScratchFolder folder;
  const std::filesystem::path pages = folder.path() / "share/man1";
  REQUIRE(run_program({"manual", "--out", pages.string()}).status == 0);
  for (const std::string& command : subcommands_in(help_of({}))) {
    CHECK(std::filesystem::exists(pages / ("secondsource-" + command + ".1")));
  }
  const std::string page = run_program({"manual", "bundle", "create"}).out;
  CHECK(page == *read_file(pages / "secondsource-bundle-create.1"));
  CHECK(page.starts_with(".TH SECONDSOURCE-BUNDLE-CREATE 1 "));
  CHECK(contains(page, "\n.SH NAME\nsecondsource\\-bundle\\-create \\- "));
  CHECK(contains(page, "\\fB\\-\\-from\\-hf\\fR"));
  CHECK(contains(page, "Example: secondsource bundle create"));
  check_refused(run_program({"manual", "bundle", "crate"}),
                "expected a command of secondsource bundle, found \"crate\"");
}

TEST_CASE("--help lists the exit statuses and hides what only the program itself uses") {
  const std::string help = help_of({});
  CHECK(contains(help, "Exit statuses: 0 done, 1 regression"));
  CHECK_FALSE(contains(help, "worker"));
}

TEST_CASE(
    "--version has the version alone on its first line, then commit, build options, backends and the data's folder") {
  const ProgramRun run = run_program({"--version"});
  CHECK(run.status == 0);
  CAPTURE(run.out);
  CHECK(std::regex_search(run.out, std::regex("^secondsource \\d+\\.\\d+\\.\\d+\ncommit: [0-9a-z.-]+\nbuilt: ")));
  CHECK(contains(run.out, "\nbackends: cpu"));
  const std::string key = "\ndata: ";
  REQUIRE(contains(run.out, key));
  std::string data = run.out.substr(run.out.find(key) + key.size());
  data.pop_back();
  CHECK(std::filesystem::exists(std::filesystem::path(data) / "bundles/default/manifest.yaml"));
  CHECK(run.err.empty());
}

TEST_CASE("a bare call shows the commands in the order of a first day, and is no success") {
  const ProgramRun bare = run_program({});
  CHECK(bare.status == 2);
  CHECK(is_one_line(bare.err));
  CHECK(contains(bare.err, "a command is required"));
  CHECK(bare.out == help_of({}));
  const std::vector<std::string> names = subcommands_in(bare.out);
  CAPTURE(names);
  REQUIRE(names.size() >= 18);
  CHECK(names[0] == "backends");
  CHECK(names[1] == "run");
  CHECK(names[2] == "report");
  CHECK(place_of(names, "bundle") < place_of(names, "generate"));
  CHECK(place_of(names, "generate") < place_of(names, "ab"));
  CHECK(place_of(names, "ab") < place_of(names, "brief"));
}

TEST_CASE("help COMMAND is the help of that command") {
  CHECK(run_program({"help"}).out == help_of({}));
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"run"}, {"bundle"}, {"bundle", "create"}, {"history", "add"}}) {
    std::vector<std::string> asked = command;
    asked.insert(asked.begin(), "help");
    const ProgramRun run = run_program(asked);
    CAPTURE(command);
    CHECK(run.status == 0);
    CHECK(run.err.empty());
    CHECK(run.out == help_of(command));
  }
  check_refused(run_program({"help", "reprot"}), "there is no command \"reprot\"; did you mean report?");
  check_refused(run_program({"help", "bundle", "verfiy"}),
                "bundle: there is no command \"verfiy\"; did you mean verify?");
}

TEST_CASE("an unknown word suggests the nearest known one, and none where none is near") {
  check_refused(run_program({"runn", "bundles/default"}), "there is no command \"runn\"; did you mean run?");
  check_refused(run_program({"backend"}), "did you mean backends?");
  check_refused(run_program({"bundle", "crate"}), "did you mean create?");
  check_refused(run_program({"run", "b", "--bakend", "cpu"}),
                "run: there is no flag --bakend; did you mean --backend?");
  check_refused(run_program({"report", "x", "--fromat=html"}), "did you mean --format?");
  check_refused(run_program({"history", "add", "x", "--brnch", "y"}), "did you mean --branch?");
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"zzzzzz"}, {"run", "x", "--zzzzzz"}, {std::string(100'000, 'a')}}) {
    const ProgramRun run = run_program(words);
    CHECK(run.status == 2);
    CHECK(is_one_line(run.err));
    CHECK_FALSE(contains(run.err, "did you mean"));
  }
}

TEST_CASE("what a refusal repeats of the command line is printable, and cut to a readable length") {
  const std::string huge(100'000, 'a');
  for (const std::string& text : hostile_texts()) {
    const std::string word = text.substr(0, text.find('\0'));  // command line arguments cannot contain zero bytes
    for (const auto& words : std::vector<std::vector<std::string>>{{"x" + word},
                                                                   {"help", "x" + word},
                                                                   {"run", "x", "--y" + word},
                                                                   {"report", "x", "--format", "x" + word},
                                                                   {"check", "x", "--threads=x" + word},
                                                                   {"run", "x", "--repetitions", "x" + word}}) {
      const ProgramRun run = run_program(words);
      CAPTURE(words);
      CHECK(run.status == 2);
      CHECK(is_one_line(run.err));
      CHECK_FALSE(acting_sequence(run.err));
    }
  }
  for (const auto& words : std::vector<std::vector<std::string>>{{huge},
                                                                 {"help", huge},
                                                                 {"generate", "x", "--prompt", "y", huge},
                                                                 {"run", "x", "--" + huge},
                                                                 {"run", "x", "--" + huge + "=1"},
                                                                 {"report", "x", "--format", huge},
                                                                 {"report", "x", "--format=" + huge},
                                                                 {"check", "x", "--threads", huge},
                                                                 {"run", "x", "--repetitions=" + huge}}) {
    const ProgramRun run = run_program(words);
    CAPTURE(words.front());
    CHECK(run.status == 2);
    CHECK(is_one_line(run.err));
    CHECK(contains(run.err, "bytes)"));  // the message states the length of the whole word
    CHECK(run.err.size() < 600);
  }
}

TEST_CASE("a word that a list has twice is refused, since it would be measured twice; numbers may repeat") {
  check_refused(run_program({"run", "b", "--backend", "cpu,cpu"}),
                "--backend: expected each word once, found \"cpu\" twice");
  check_refused(run_program({"check", "b", "--variant", "bf16", "--variant", "int8,bf16"}),
                "--variant: expected each word once, found \"bf16\" twice");
  check_refused(run_program({"run", "b", "--scenario", "offline:4,single-stream,offline:4"}),
                "--scenario: expected each word once, found \"offline:4\" twice");
  check_refused(run_program({"fit", "b", "--on", "h200,h200"}), "--on: expected each word once, found \"h200\" twice");
  check_refused(run_program({"generate", "/nowhere", "--ids", "5,5"}), "/nowhere");
}

TEST_CASE("a command line that cannot be understood is refused in one line") {
  check_refused(run_program({"nonsense"}), "secondsource: ");
  check_refused(run_program({"gate", "only-one"}), "candidate");
  check_refused(run_program({"bundle"}), "bundle: expected a command (create, pull, info");
  check_refused(run_program({"report", "x", "--format", "pdf"}), "pdf");
  check_refused(run_program({"check", "x", "--threads", "-1"}),
                "--threads: expected a whole number from 0 to 4096, found \"-1\"");
  check_refused(run_program({"run", "--no-such-flag"}), "--no-such-flag");
  check_refused(run_program({"report", "x", "--format", "marcdown"}), "found \"marcdown\"; did you mean markdown?");
  check_refused(run_program({"generate", "x", "--ids", "a,b"}),
                "--ids: expected whole numbers separated by commas, found \"a,b\"");
  check_refused(run_program({"bundle", "synth", "--like", "demo-50m", "--out"}), "--out: expected a value, found none");
  check_refused(run_program({"tokenize", "x", "--text", "a", "--file", "b"}), "found both");
}
