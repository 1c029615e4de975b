// Tests `secondsource init`: the program itself can read the files that it writes, and no existing file is overwritten.
// tests/ci runs the CI files.

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/file.h"
#include "expectations.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

namespace fs = std::filesystem;

constexpr const char* kGithubFile = ".github/workflows/performance.yml";

ProgramRun init(const fs::path& folder, std::vector<std::string> flags = {}) {
  flags.insert(flags.begin(), {"init", "--repo", folder.string()});
  // Git must not find a repository in a folder above the scratch folder.
  return run_program(flags, {.environment = {{"GIT_CEILING_DIRECTORIES", folder.parent_path().string()}}});
}

void git(const fs::path& folder, const std::string& arguments) {
  REQUIRE(std::system(("git -C '" + folder.string() + "' " + arguments).c_str()) == 0);
}

/// Checks that `run --dry-run` accepts the plan, and that `waiver check` accepts the waivers.
void check_readable(const fs::path& folder) {
  const ProgramRun planned = run_program({"run", "--config", (folder / "secondsource.yaml").string(), "--dry-run"});
  CAPTURE(planned.out, planned.err);
  CHECK(planned.status == 0);
  CHECK(contains(planned.out, "default/cpu/bf16/single-stream"));
  const ProgramRun waivers = run_program({"waiver", "check", (folder / "waivers.yaml").string()});
  CHECK(waivers.status == 0);
  CHECK(contains(waivers.out, "0 waivers, 0 not in order"));
}

}  // namespace

TEST_CASE(
    "init outside of git writes a plan and a waivers file that the program reads, and says why there is no CI file") {
  const ScratchFolder scratch;
  const ProgramRun run = init(scratch.path());
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  CHECK(run.err.empty());
  CHECK(contains(run.out, "outside of git"));
  CHECK(contains(run.out, "secondsource.yaml: written"));
  CHECK(contains(run.out, "waivers.yaml: written"));
  CHECK(contains(run.out, "--ci github"));
  CHECK_FALSE(fs::exists(scratch.path() / ".github"));
  CHECK_FALSE(fs::exists(scratch.path() / ".gitlab-ci.yml"));
  check_readable(scratch.path());
}

TEST_CASE(
    "init in a repository of GitHub and of GitLab writes the CI file of that host, whatever is in the remote's address") {
  const ScratchFolder scratch;
  git(scratch.path(), "init -q");
  CHECK(contains(init(scratch.path(), {"--dry-run"}).out, "no remote says where pull requests come from"));
  git(scratch.path(), "remote add origin https://user:secret@github.com/o/r.git");
  const ProgramRun github = init(scratch.path());
  CAPTURE(github.out);
  CHECK(github.status == 0);
  CHECK(contains(github.out, "GitHub: the remote is on github.com"));
  CHECK_FALSE(contains(github.out, "secret"));
  CHECK(fs::exists(scratch.path() / kGithubFile));
  CHECK(contains(github.out, std::string("Set PACKAGE in ") + kGithubFile));
  check_readable(scratch.path());
  git(scratch.path(), "remote set-url origin git@gitlab.example.com:g/r.git");
  CHECK(contains(init(scratch.path()).out, "GitLab: the remote is on gitlab.example.com"));
  CHECK(fs::exists(scratch.path() / ".gitlab-ci.yml"));
}

TEST_CASE("init --dry-run prints what it would write and writes nothing") {
  const ScratchFolder scratch;
  const ProgramRun run = init(scratch.path(), {"--ci", "github", "--dry-run"});
  CHECK(run.status == 0);
  CHECK(contains(run.out, "secondsource.yaml: would be written"));
  CHECK(contains(run.out, "    bundles: [\"installed:default\"]"));
  CHECK(contains(run.out, "    jobs:"));
  CHECK(fs::is_empty(scratch.path()));
}

TEST_CASE("init overwrites nothing: a second call leaves every file, and says so") {
  const ScratchFolder scratch;
  REQUIRE(init(scratch.path(), {"--ci", "github"}).status == 0);
  const std::string own = "# ours\nversion: 1\nbundles: [x]\n";
  std::ofstream(scratch.path() / "secondsource.yaml") << own;
  fs::remove(scratch.path() / "waivers.yaml");
  const ProgramRun again = init(scratch.path(), {"--ci", "github"});
  CAPTURE(again.out);
  CHECK(again.status == 0);
  CHECK(contains(again.out, "secondsource.yaml: left as it is"));
  CHECK(contains(again.out, "waivers.yaml: written"));
  CHECK(contains(again.out, std::string(kGithubFile) + ": left as it is"));
  CHECK(*read_file(scratch.path() / "secondsource.yaml") == own);
}

TEST_CASE("init stops at a plan or a waivers file that cannot be read, and writes nothing then") {
  for (const char* file : {"secondsource.yaml", "waivers.yaml"}) {
    const ScratchFolder scratch;
    std::ofstream(scratch.path() / file) << "version: 1\nbackend: cpu\n";
    check_refused(init(scratch.path(), {"--ci", "gitlab"}), std::string(file) + ":");
    CHECK(std::distance(fs::directory_iterator(scratch.path()), fs::directory_iterator()) == 1);
  }
  check_refused(init("/nowhere/at/all"), "/nowhere/at/all");
  check_refused(run_program({"init", "--ci", "jenkins"}), "jenkins");
}

TEST_CASE("the plan that init writes for a model runs on it") {
  const ScratchFolder scratch;
  fs::copy(source_path("bundles/tiny-gqa8-hd64"), scratch.path() / "model", fs::copy_options::recursive);
  const ProgramRun run = init(scratch.path());
  CAPTURE(run.out);
  CHECK(contains(run.out, "the model model (a bundle, "));
  const ProgramRun ran =
      run_program({"run", "--config", (scratch.path() / "secondsource.yaml").string(), "--backend", "cpu",
                   "--repetitions", "1", "--max-time", "20s", "--out", (scratch.path() / "run").string()});
  CAPTURE(ran.err);
  CHECK((ran.status == 0 || ran.status == 6));  // on a busy machine the measurement may be invalid (6)
  CHECK(fs::exists(scratch.path() / "run/summary.json"));
}

TEST_CASE(
    "an installed bundle is found by its name from anywhere, and a name that is none is answered with those that are") {
  const ProgramRun info = run_program({"bundle", "info", "installed:default"});
  CHECK(info.status == 0);
  CHECK(info.out.starts_with("default: "));
  const ProgramRun tokens = run_program({"tokenize", "installed:default", "--text", "Hello"});
  CHECK(tokens.status == 0);
  CHECK(tokens.out.starts_with("{\"ids\":"));
  CHECK(run_program({"fit", "installed:default", "--on", "h200"}).status == 0);
  const ScratchFolder scratch;
  const std::string recorded = (scratch.path() / "recorded.txt").string();
  REQUIRE_OK(write_file(recorded, "Hello\n"));
  CHECK(run_program({"prompts", "import", recorded, "--format", "text", "--tokenizer", "installed:default", "--out",
                     (scratch.path() / "suite.yaml").string()})
            .status == 0);
  check_refused(run_program({"check", "installed:defautl"}), "default");
  check_refused(run_program({"tokenize", "installed:defautl", "--text", "Hello"}), "there are default");
  check_refused(run_program({"fit", "installed:defautl"}), "there are default");
  check_refused(run_program({"run", "installed:../default", "--dry-run"}), "installed:");
  check_refused(run_program({"ab", "installed:none"}), "installed:none: expected the name of a bundle");
}
