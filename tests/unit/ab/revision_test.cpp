#include "ab/revision.h"

#include <cstdlib>
#include <fstream>

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
            .program = "program",
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

}  // namespace

TEST_CASE("a revision is checked out beside the repository, built once, and runs") {
  const TinyRepository repository;
  SilentProgress progress;
  const InterruptFlag interrupt;
  const auto said_by = [&](const char* revision) {
    const auto built = build_revision(repository.build_of(revision), progress, interrupt);
    REQUIRE_OK(built);
    CHECK(built->commit.size() == 40);
    const auto end = run_program_to_end(
        {.program = built->program, .arguments = {}, .stderr_file = repository.path() / "stderr"}, interrupt);
    REQUIRE_OK(end);
    return end->out;
  };
  CHECK(said_by("main~1") == "one\n");
  CHECK(said_by("main") == "two\n");
  // A second build of the same commit reuses the program, although its command would fail.
  RevisionBuild again = repository.build_of("main");
  const auto first = build_revision(again, progress, interrupt);
  REQUIRE_OK(first);
  std::ofstream(first->program) << "#!/bin/sh\necho kept\n";
  CHECK(said_by("main") == "kept\n");
}

TEST_CASE("an unknown revision, a build that fails and one that leaves no program are one line each") {
  const TinyRepository repository;
  SilentProgress progress;
  const InterruptFlag interrupt;
  CHECK_ERROR(build_revision(repository.build_of("nowhere"), progress, interrupt), ErrorCode::kInvalidInput,
              "revision nowhere: git does not know it");
  RevisionBuild failing = repository.build_of("main");
  failing.command = "echo no compiler >&2; false";
  CHECK_ERROR(build_revision(failing, progress, interrupt), ErrorCode::kInvalidInput, "exit status 1: no compiler");
  RevisionBuild empty = repository.build_of("main~1");
  empty.command = "true";
  CHECK_ERROR(build_revision(empty, progress, interrupt), ErrorCode::kInvalidInput,
              "expected the build command to leave");
}
