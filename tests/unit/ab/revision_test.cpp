#include "ab/revision.h"

#include <sys/types.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ab/program_run.h"
#include "core/file.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

/// A repository with two commits, whose "program" prints the commit it belongs to.
class TinyRepository {
 public:
  TinyRepository() {
    std::filesystem::create_directories(path());
    git("init -q -b main");
    commit("one");
    commit("two");
  }
  [[nodiscard]] std::filesystem::path path() const { return scratch_.path() / "repository"; }
  [[nodiscard]] RevisionBuild build_of(const char* revision) const {
    return {.repository = path(),
            .revision = revision,
            .command = "printf '#!/bin/sh\\necho %s\\n' \"$(cat name)\" > program && chmod +x program",
            .result = "program",
            .work = scratch_.path() / "work"};
  }

 private:
  void git(const std::string& arguments) const {
    const std::string command = "cd '" + path().string() + "' && git -c user.name=t -c user.email=t@t " + arguments;
    REQUIRE(std::system(command.c_str()) == 0);
  }
  void commit(const char* name) const {
    std::ofstream(path() / "name") << name;
    git(std::string("add name && git -c user.name=t -c user.email=t@t commit -q -m ") + name);
  }

  ScratchFolder scratch_;
};

/// Shell commands that write the process id of a long-running grandchild to `file` and wait for it. The second one closes the
/// pipe whose end of file would tell the caller that it has ended, as a build does that sends all output to stderr.
std::vector<std::string> endless_builds(const std::filesystem::path& file) {
  const std::string wait = "sleep 600 & echo $! > '" + file.string() + "'; wait";
  return {wait, "exec 1>&2; " + wait};
}

/// Waits up to ten seconds for a process id in the file.
std::optional<pid_t> pid_in(const std::filesystem::path& file) {
  for (int i = 0; i < 1000; ++i) {
    pid_t pid = 0;
    if (std::ifstream(file) >> pid) return pid;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return std::nullopt;
}

/// True if the process ends within ten seconds. A zombie, which its parent has not waited for yet, has ended.
bool has_ended(pid_t pid) {
  for (int i = 0; i < 1000; ++i) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string id, name, state;
    if (!(stat >> id >> name >> state) || state == "Z" || state == "X") return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace

TEST_CASE("an interrupted build ends with all that it started, wherever its output goes") {
  const TinyRepository repository;
  const std::filesystem::path file = repository.path() / "pid";
  for (const std::string& command : endless_builds(file)) {
    CAPTURE(command);
    std::filesystem::remove(file);
    RevisionBuild build = repository.build_of("main");
    build.command = command;
    SilentProgress progress;
    InterruptFlag interrupt;
    std::optional<pid_t> pid;
    std::thread user([&] {
      pid = pid_in(file);
      interrupt.request();
    });
    const auto built = build_revision(build, progress, interrupt);
    user.join();
    CHECK_ERROR(built, ErrorCode::kInterrupted, "interrupted");
    REQUIRE(pid);
    CHECK(has_ended(*pid));
  }
}

TEST_CASE("a program that runs past its deadline ends with all that it started, wherever its output goes") {
  const ScratchFolder scratch;
  const std::filesystem::path file = scratch.path() / "pid";
  for (const std::string& command : endless_builds(file)) {
    CAPTURE(command);
    std::filesystem::remove(file);
    const auto end = run_program_to_end({.program = "/bin/sh",
                                         .arguments = {"-c", command},
                                         .stderr_file = scratch.path() / "stderr",
                                         .deadline_ns = 2'000'000'000},
                                        InterruptFlag());
    REQUIRE_OK(end);
    CHECK(end->timed_out);
    CHECK(end->text().starts_with("no end after "));
    const auto pid = pid_in(file);
    REQUIRE(pid);
    CHECK(has_ended(*pid));
  }
}

TEST_CASE("a program that gets a grace may end by itself after its deadline, and is killed after that") {
  const ScratchFolder scratch;
  const auto run = [&](const std::string& command) {
    return run_program_to_end({.program = "/bin/bash",
                               .arguments = {"-c", command},
                               .stderr_file = scratch.path() / "stderr",
                               .deadline_ns = 500'000'000,
                               .grace_ns = 1'000'000'000},
                              InterruptFlag());
  };
  const auto ended = run("trap 'exit 7' TERM; while :; do sleep 0.05; done");
  REQUIRE_OK(ended);
  CHECK(ended->timed_out);
  CHECK(ended->exit.status == 7);
  const auto killed = run("trap '' TERM; while :; do sleep 0.05; done");
  REQUIRE_OK(killed);
  CHECK(killed->timed_out);
  CHECK(killed->exit.killed_by_us);
}

TEST_CASE("a revision is checked out beside the repository, built once, and runs") {
  const TinyRepository repository;
  SilentProgress progress;
  const InterruptFlag interrupt;
  const auto said_by = [&](const char* revision) {
    const auto built = build_revision(repository.build_of(revision), progress, interrupt);
    REQUIRE_OK(built);
    CHECK(built->commit.size() == 40);
    const auto end = run_program_to_end(
        {.program = built->result, .arguments = {}, .stderr_file = repository.path() / "stderr"}, interrupt);
    REQUIRE_OK(end);
    return end->out;
  };
  CHECK(said_by("main~1") == "one\n");
  CHECK(said_by("main") == "two\n");
  // A second build of the same commit reuses the program, although its command would fail.
  RevisionBuild again = repository.build_of("main");
  const auto first = build_revision(again, progress, interrupt);
  REQUIRE_OK(first);
  std::ofstream(first->result) << "#!/bin/sh\necho kept\n";
  CHECK(said_by("main") == "kept\n");
}

TEST_CASE("a build that was interrupted, lost its worktree or lost its stamp is made again from the commit") {
  const TinyRepository repository;
  SilentProgress progress;
  const InterruptFlag interrupt;
  const auto build = [&] { return build_revision(repository.build_of("main"), progress, interrupt); };
  const auto first = build();
  REQUIRE_OK(first);
  const std::filesystem::path worktree = first->result.parent_path();
  const std::filesystem::path stamp = worktree.string() + ".built";
  SECTION("without its stamp, as after an interruption: nothing of what is there is trusted") {
    std::filesystem::remove(stamp);
    std::ofstream(worktree / "name") << "half";
  }
  SECTION("without its folder, which git still has in its list of worktrees") {
    std::filesystem::remove_all(worktree);
  }
  SECTION("with a folder that git does not know, as from a cache without the build") {
    std::filesystem::remove_all(repository.path() / ".git/worktrees");
    std::filesystem::remove(first->result);
    std::ofstream(worktree / "name") << "half";
  }
  const auto again = build();
  REQUIRE_OK(again);
  CHECK(again->result == first->result);
  CHECK(*read_file(worktree / "name") == "two");
  CHECK(std::filesystem::exists(stamp));
}

TEST_CASE("a build from a cache is taken as it is, although git does not know its worktree") {
  const TinyRepository repository;
  SilentProgress progress;
  const InterruptFlag interrupt;
  const auto first = build_revision(repository.build_of("main"), progress, interrupt);
  REQUIRE_OK(first);
  std::filesystem::remove_all(repository.path() / ".git/worktrees");
  std::ofstream(first->result) << "#!/bin/sh\necho kept\n";
  const auto again = build_revision(repository.build_of("main"), progress, interrupt);
  REQUIRE_OK(again);
  CHECK(*read_file(again->result) == "#!/bin/sh\necho kept\n");
}

TEST_CASE("a program is given a folder of modules to search before those that the environment names") {
  const ScratchFolder scratch;
  ::setenv("SECONDSOURCE_MODULES", "/theirs", 1);
  const auto said = [&](const std::string& modules) {
    const auto end = run_program_to_end({.program = "/bin/sh",
                                         .arguments = {"-c", "echo $SECONDSOURCE_MODULES"},
                                         .stderr_file = scratch.path() / "stderr",
                                         .modules = modules},
                                        InterruptFlag());
    REQUIRE_OK(end);
    return end->out;
  };
  CHECK(said("/ours") == "/ours:/theirs\n");
  CHECK(said("") == "/theirs\n");
  ::unsetenv("SECONDSOURCE_MODULES");
}

TEST_CASE("an unknown revision, a build that fails and one that leaves no program are one line each") {
  const TinyRepository repository;
  SilentProgress progress;
  const InterruptFlag interrupt;
  CHECK_ERROR(build_revision(repository.build_of("nowhere"), progress, interrupt), ErrorCode::kInvalidInput,
              "revision nowhere: git knows no commit of this name");
  RevisionBuild failing = repository.build_of("main");
  failing.command = "echo no compiler >&2; false";
  CHECK_ERROR(build_revision(failing, progress, interrupt), ErrorCode::kInvalidInput, "exit status 1: no compiler");
  RevisionBuild empty = repository.build_of("main~1");
  empty.command = "true";
  CHECK_ERROR(build_revision(empty, progress, interrupt), ErrorCode::kInvalidInput,
              "expected the build command to leave");
}
