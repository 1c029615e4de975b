// Several processes change one bundle: each finds what the others wrote, and nothing is lost.

#include <algorithm>
#include <filesystem>
#include <optional>

#include "bundle/bundle_lock.h"
#include "bundle/manifest.h"
#include "started_program.h"
#include "support/bundles.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// A copy of the tiny bundle, and a lock on it that keeps every other process from writing.
struct LockedBundle {
  test::ScratchFolder scratch;
  fs::path folder = scratch.path() / "bundle";
  std::optional<FileDescriptor> lock;

  LockedBundle() {
    fs::copy(test::kTinyBundle, folder, fs::copy_options::recursive);
    SilentProgress progress;
    auto taken = lock_bundle(folder, progress, InterruptFlag());
    REQUIRE_OK(taken);
    lock = std::move(*taken);
  }
};

/// A process that measures a variant and will write a limit of it.
class Accepting {
 public:
  Accepting(const LockedBundle& bundle, const std::string& variant, const std::string& limit)
      : folder_(bundle.scratch.path() / (variant + limit)) {
    fs::create_directory(folder_);
    program_.emplace(std::vector<std::string>{"bundle", "accept", bundle.folder.string(), "--backend", "reference",
                                              "--variant", variant, "--limit", limit, "--write"},
                     folder_);
  }
  /// The table is printed when everything is measured, before the manifest is read again.
  void wait_until_measured() {
    while (program_->out().find("perplexity") == std::string::npos && !program_->wait_for(20)) {
    }
  }
  test::StartedProgram& program() { return *program_; }

 private:
  fs::path folder_;
  std::optional<test::StartedProgram> program_;
};

TEST_CASE("two processes that write the limits of one bundle at once both have them in the manifest") {
  LockedBundle bundle;
  Accepting int8(bundle, "int8", "kl_mean=0.04");
  Accepting int4(bundle, "int4", "kl_mean=0.03");
  for (Accepting* one : {&int8, &int4}) one->wait_until_measured();
  bundle.lock.reset();
  CHECK(int8.program().status() == 0);
  CHECK(int4.program().status() == 1);  // its KL is above any sensible limit
  const auto manifest = read_manifest_file(bundle.folder);
  REQUIRE_OK(manifest);
  CHECK(manifest->find_variant("int8")->quality->limits.kl_mean == 0.04);
  CHECK(manifest->find_variant("int4")->quality->limits.kl_mean == 0.03);
}

TEST_CASE("limits are not written into a bundle of which what was measured changed meanwhile") {
  LockedBundle bundle;
  Accepting accepting(bundle, "int8", "kl_mean=0.04");
  accepting.wait_until_measured();
  Manifest manifest = *read_manifest_file(bundle.folder);
  std::string expected;
  SECTION("another process replaced a file") {
    std::ranges::find(manifest.files, "expected/bf16.jsonl", &ManifestFile::path)->sha256.assign(64, '0');
    expected = "its files are not those that were measured";
  }
  SECTION("another process wrote other limits of the same variant") {
    std::ranges::find(manifest.variants, "int8", &ManifestVariant::name)->quality->limits.lookup_accuracy = 0.5;
    expected = "the limits of int8 are others now";
  }
  REQUIRE_OK(write_manifest_file(manifest, bundle.folder));
  const std::string before = *read_file(bundle.folder / kManifestFile);
  bundle.lock.reset();
  CHECK(accepting.program().status() == 6);
  CHECK(accepting.program().err().find("another process changed the bundle meanwhile: " + expected) !=
        std::string::npos);
  CHECK(*read_file(bundle.folder / kManifestFile) == before);
}

}  // namespace
}  // namespace secondsource
