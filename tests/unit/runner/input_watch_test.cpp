#include "runner/input_watch.h"

#include <chrono>
#include <fstream>

#include "support/catch.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

void write(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << content;
}

TEST_CASE("inputs that stay as they are pass; one that is changed, removed or added does not") {
  const test::ScratchFolder scratch;
  const auto weights = scratch.path() / "bundle" / "weights" / "model.safetensors";
  const auto module = scratch.path() / "libsecondsource-x.so";
  write(weights, "weights");
  write(module, "code");
  // The clock of a file system ticks only every few milliseconds. Setting the time back makes sure that a change in
  // this test gets a different time.
  std::filesystem::last_write_time(weights, std::filesystem::last_write_time(weights) - std::chrono::hours(1));
  const InputWatch watch({scratch.path() / "bundle", module});
  CHECK(watch.check().outcome == CheckOutcome::kPassed);

  SECTION("the same size, another content") {
    write(weights, "stheigw");
    CHECK(watch.check().outcome == CheckOutcome::kInvalid);
    CHECK(watch.check().detail.find("model.safetensors changed") != std::string::npos);
  }
  SECTION("replaced by a copy that is dated back") {
    const auto modified = std::filesystem::last_write_time(module);
    write(scratch.path() / "copy", "code");
    std::filesystem::rename(scratch.path() / "copy", module);
    std::filesystem::last_write_time(module, modified);
    CHECK(watch.check().outcome == CheckOutcome::kInvalid);
  }
  SECTION("removed") {
    std::filesystem::remove(module);
    CHECK(watch.check().detail.find("was removed") != std::string::npos);
  }
  SECTION("added") {
    write(scratch.path() / "bundle" / "more.json", "{}");
    CHECK(watch.check().detail.find("was added") != std::string::npos);
  }
}

}  // namespace
}  // namespace secondsource
