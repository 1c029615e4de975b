#include "setup/repository.h"

#include <cstdlib>
#include <fstream>

#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

void shell(const fs::path& folder, const std::string& command) {
  REQUIRE(std::system(("cd '" + folder.string() + "' && " + command).c_str()) == 0);
}

Repository look(const fs::path& folder) {
  SilentProgress progress;
  auto repository = look_at_repository(folder, progress, InterruptFlag());
  REQUIRE_OK(repository);
  return *repository;
}

/// A copy of the smallest bundle of the source tree.
void copy_bundle(const fs::path& to) {
  fs::create_directories(to.parent_path());
  fs::copy(source_path("bundles/tiny-gqa8-hd64"), to, fs::copy_options::recursive);
}

}  // namespace

TEST_CASE("the host of a remote is that of its address, whatever user, password and port stand beside it") {
  CHECK(host_of_remote("https://github.com/o/r.git") == "github.com");
  CHECK(host_of_remote("https://user:secret@github.com/o/r") == "github.com");
  CHECK(host_of_remote("git@gitlab.example.com:group/r.git") == "gitlab.example.com");
  CHECK(host_of_remote("ssh://git@gitlab.example.com:2222/group/r.git") == "gitlab.example.com");
  CHECK(host_of_remote("git://[::1]:9418/r") == "[::1]:9418");
  CHECK(host_of_remote("/srv/git/github.com/r.git").empty());
  CHECK(host_of_remote("./a:b").empty());
  CHECK(host_of_remote("file:///srv/github.com/r.git").empty());
  CHECK(host_of_remote("").empty());
}

TEST_CASE("the backends of a CMake project are those in the calls, and none of a comment") {
  CHECK(backends_of_cmake("secondsource_add_backend(mine SOURCES a.cpp)\n"
                          "# secondsource_add_backend(old SOURCES b.cpp)\n"
                          "  secondsource_add_backend( other-2\n    SOURCES c.cpp)\n") ==
        std::vector<std::string>{"mine", "other-2"});
  CHECK(backends_of_cmake("add_library(secondsource_add_backend b.cpp)").empty());
}

TEST_CASE("outside of git the folder itself is looked at, and it has no remote") {
  const ScratchFolder scratch;
  ::setenv("GIT_CEILING_DIRECTORIES", scratch.path().parent_path().c_str(), 1);
  const Repository repository = look(scratch.path());
  CHECK_FALSE(repository.is_git);
  CHECK(repository.root == scratch.path());
  CHECK(repository.remote_host.empty());
  CHECK(repository.models.empty());
  SilentProgress progress;
  CHECK_ERROR(look_at_repository(scratch.path() / "absent", progress, InterruptFlag()), ErrorCode::kInvalidInput,
              "absent");
}

TEST_CASE("from a folder below, the whole repository is looked at, with the remote that it has") {
  const ScratchFolder scratch;
  const fs::path root = fs::canonical(scratch.path());
  shell(root, "git init -q && git remote add upstream git@gitlab.example.com:g/r.git");
  write(root / "a/b/x", "");
  CHECK(look(root / "a/b").root == root);
  CHECK(look(root).remote_host == "gitlab.example.com");
  shell(root, "git remote add origin https://token@github.com/o/r");
  CHECK(look(root).remote_host == "github.com");
}

TEST_CASE("models are found with their variants and positions, bundles first; what is none of use is said") {
  const ScratchFolder scratch;
  const fs::path root = fs::canonical(scratch.path());
  shell(root, "git init -q");
  copy_bundle(root / "models/z");
  copy_bundle(root / "models/a");
  fs::remove(root / "models/a/manifest.yaml");  // what is left is a folder as Hugging Face writes it
  copy_bundle(root / "ignored");
  copy_bundle(root / "build/copy");
  copy_bundle(root / ".hidden");
  copy_bundle(root / "broken");
  fs::resize_file(root / "broken/model.safetensors", 4);
  write(root / "weights.gguf", "GGUF");
  write(root / ".gitignore", "/ignored/\n");
  fs::create_directory_symlink(root / "models/z", root / "link");
  const Repository repository = look(root);
  REQUIRE(repository.models.size() == 2);
  CHECK(repository.models[0].folder == "models/z");
  CHECK(repository.models[0].is_bundle);
  CHECK(repository.models[0].max_positions > 0);
  CHECK(repository.models[0].bytes > 0);
  CHECK(repository.models[1].folder == "models/a");
  CHECK_FALSE(repository.models[1].is_bundle);
  REQUIRE(repository.passed_over.size() == 3);

  std::string all;
  for (const std::string& sentence : repository.passed_over) all += sentence + "\n";
  CHECK(all.find("broken looks like a model and cannot be used: ") != all.npos);
  CHECK(all.find("ignored is a model that git ignores") != all.npos);
  CHECK(all.find("weights.gguf is a GGUF file") != all.npos);
}

TEST_CASE("a CMake project that builds modules is found, and this program's own source tree is told from one") {
  const ScratchFolder scratch;
  const fs::path root = scratch.path();
  write(root / "kernels/CMakeLists.txt",
        "find_package(secondsource REQUIRED)\nsecondsource_add_backend(mine SOURCES m.cpp)\n");
  const Repository repository = look(root);
  REQUIRE(repository.projects.size() == 1);
  CHECK(repository.projects[0].folder == "kernels");
  CHECK(repository.projects[0].backends == std::vector<std::string>{"mine"});
  CHECK_FALSE(repository.is_source_tree);
  CHECK(look(source_path(".")).is_source_tree);
}
