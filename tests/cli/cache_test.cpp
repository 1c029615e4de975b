// Tests zipped bundles, the cache into which they are extracted, and the cached packed weights.

#include <algorithm>
#include <future>

#include "core/file.h"
#include "expectations.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "unit/bundle/zip_bytes.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

namespace fs = std::filesystem;

/// Runs the program with a separate cache.
ProgramRun run_with_cache(const fs::path& cache, const std::vector<std::string>& arguments) {
  return run_program(arguments, {.input = {}, .environment = {{"XDG_CACHE_HOME", cache.string()}}});
}

/// Makes a zip of a committed bundle. `inside` is the folder in the zip, either empty or with a trailing slash.
std::string zip_of(const fs::path& zip, const std::string& bundle, const std::string& inside) {
  const fs::path folder = source_path("bundles/" + bundle);
  std::vector<HandMadeEntry> entries;
  for (const auto& item : fs::recursive_directory_iterator(folder)) {
    if (!item.is_regular_file()) continue;
    const auto content = read_file(item.path());
    REQUIRE_OK(content);
    entries.push_back({.name = inside + item.path().lexically_relative(folder).generic_string(), .data = *content});
  }
  REQUIRE_OK(write_file(zip, zip_bytes(entries)));
  return zip.string();
}

/// The names of the entries in the cache.
std::vector<std::string> cache_content(const fs::path& cache) {
  std::vector<std::string> names;
  for (const auto& item : fs::directory_iterator(cache / "secondsource" / "bundles")) {
    names.push_back(item.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("cache list and clean work on an empty cache") {
  const ScratchFolder scratch;
  const ProgramRun list = run_with_cache(scratch.path(), {"cache", "list"});
  CHECK(list.status == 0);
  CHECK(contains(list.out, "0 entries"));
  const ProgramRun clean = run_with_cache(scratch.path(), {"cache", "clean"});
  CHECK(clean.status == 0);
  CHECK(contains(clean.out, "0 entries removed"));
  check_refused(run_with_cache(scratch.path(), {"cache", "clean", "--keep", "-1"}), "--keep");
}

TEST_CASE("a zip is a bundle too: it is extracted once, listed, kept and cleaned as asked") {
  const ScratchFolder scratch;
  const fs::path cache = scratch.path() / "cache";
  const std::string inside = GENERATE("", "tiny/");
  CAPTURE(inside);
  const std::string zip = zip_of(scratch.path() / "tiny.zip", "tiny-gqa8-hd64", inside);
  const ProgramRun verified = run_with_cache(cache, {"bundle", "verify", zip});
  CAPTURE(verified.err);
  CHECK(verified.status == 0);
  CHECK(verified.out == "tiny-gqa8-hd64: whole\n");
  CHECK(run_with_cache(cache, {"check", zip, "--backend", "cpu", "--variant", "bf16"}).status == 0);

  const ProgramRun list = run_with_cache(cache, {"cache", "list"});
  CHECK(contains(list.out, "last used 20"));
  CHECK(contains(list.out, ": 1 entry, "));
  CHECK(contains(run_with_cache(cache, {"cache", "clean", "--keep", "1"}).out, "0 entries removed"));
  const ProgramRun clean = run_with_cache(cache, {"cache", "clean"});
  CHECK(contains(clean.out, "removed "));
  CHECK(contains(clean.out, "1 entry removed"));
  CHECK(contains(run_with_cache(cache, {"cache", "list"}).out, "0 entries"));
  // A removed copy is extracted again when it is needed.
  CHECK(run_with_cache(cache, {"bundle", "verify", zip}).status == 0);
}

TEST_CASE("several processes extract the same zip at the same time: all succeed, and one copy is left") {
  const ScratchFolder scratch;
  const std::string zip = zip_of(scratch.path() / "tiny.zip", "tiny-gqa8-hd64", "");
  for (int round = 0; round < 8; ++round) {
    const fs::path cache = scratch.path() / ("cache-" + std::to_string(round));
    std::vector<std::future<ProgramRun>> runs;
    for (int process = 0; process < 3; ++process) {
      runs.push_back(std::async(std::launch::async, [&] { return run_with_cache(cache, {"bundle", "verify", zip}); }));
    }
    for (std::future<ProgramRun>& running : runs) {
      const ProgramRun run = running.get();
      CAPTURE(round, run.err);
      CHECK(run.status == 0);
      CHECK(run.out == "tiny-gqa8-hd64: whole\n");
    }
    const std::vector<std::string> names = cache_content(cache);
    REQUIRE(names.size() == 2);
    CHECK(names[1] == names[0] + ".lock");
    CHECK(contains(run_with_cache(cache, {"cache", "list"}).out, ": 1 entry, "));
  }
}

TEST_CASE("a zip that is no bundle, or is cut off, is refused in one line and leaves nothing in the cache") {
  const ScratchFolder scratch;
  const fs::path cache = scratch.path() / "cache";
  const std::string zip = zip_of(scratch.path() / "tiny.zip", "tiny-gqa8-hd64", "");
  const auto bytes = read_file(zip);
  REQUIRE_OK(bytes);
  REQUIRE_OK(write_file(scratch.path() / "cut.zip", bytes->substr(0, bytes->size() / 2)));
  check_refused(run_with_cache(cache, {"bundle", "verify", (scratch.path() / "cut.zip").string()}), "cut.zip");
  CHECK(contains(run_with_cache(cache, {"cache", "list"}).out, "0 entries"));
}

TEST_CASE("a damaged copy of a zip is refused with what removes it") {
  const ScratchFolder scratch;
  const fs::path cache = scratch.path() / "cache";
  const std::string zip = zip_of(scratch.path() / "tiny.zip", "tiny-gqa8-hd64", "");
  REQUIRE(run_with_cache(cache, {"bundle", "info", zip}).status == 0);
  for (const auto& item : fs::recursive_directory_iterator(cache)) {
    if (item.path().filename() != "model.safetensors") continue;
    auto bytes = read_file(item.path());
    REQUIRE_OK(bytes);
    bytes->back() ^= 1;
    REQUIRE_OK(write_file(item.path(), *bytes));
  }
  const std::vector<std::string> check = {"check", zip, "--backend", "cpu", "--variant", "bf16"};
  const std::string remedy = "this is the copy of a zip: remove it (secondsource cache clean)";
  check_refused(run_with_cache(cache, check), remedy);
  CHECK(contains(run_with_cache(cache, {"bundle", "verify", zip}).out, remedy));
  CHECK(run_with_cache(cache, {"cache", "clean"}).status == 0);
  CHECK(run_with_cache(cache, check).status == 0);
}

TEST_CASE("packed weights are kept when asked for, found again, refused when damaged, and cleaned") {
  const ScratchFolder scratch;
  const fs::path cache = scratch.path() / "cache";
  const fs::path packed = cache / "secondsource" / "packed";
  const std::vector<std::string> check = {
      "check", source_path("bundles/tiny-gqa8-hd64"), "--backend", "cpu", "--variant", "int8"};
  std::vector<std::string> keeping = check;
  keeping.insert(keeping.end(), {"--backend-option", "cpu:weight_cache=1"});
  CHECK(run_with_cache(cache, check).status == 0);
  CHECK_FALSE(fs::exists(packed));

  const ProgramRun first = run_with_cache(cache, keeping);
  CAPTURE(first.err);
  CHECK(first.status == 0);
  REQUIRE(fs::exists(packed));
  std::vector<fs::path> files;
  for (const auto& item : fs::directory_iterator(packed)) {
    if (item.path().extension() == ".weight") files.push_back(item.path());
  }
  REQUIRE(files.size() > 4);
  const std::string count = std::to_string(files.size()) + " packed weights";
  CHECK(contains(run_with_cache(cache, {"cache", "list"}).out, "packed: " + count));
  CHECK(run_with_cache(cache, keeping).status == 0);  // the second check uses the cached weights

  auto bytes = read_file(files[0]);
  REQUIRE_OK(bytes);
  bytes->back() ^= 1;
  REQUIRE_OK(write_file(files[0], *bytes));
  const ProgramRun damaged = run_with_cache(cache, keeping);
  CHECK(damaged.status != 0);
  CHECK(contains(damaged.out, files[0].string() + ": damaged"));
  CHECK(run_with_cache(cache, check).status == 0);
  CHECK(contains(run_with_cache(cache, {"cache", "clean"}).out, count + " removed"));
  CHECK(contains(run_with_cache(cache, {"cache", "list"}).out, "packed: 0 packed weights"));
  CHECK(run_with_cache(cache, keeping).status == 0);
}

TEST_CASE("several processes keep the weights of a model at the same time: all succeed, and a copy of it finds them") {
  const ScratchFolder scratch;
  const fs::path cache = scratch.path() / "cache";
  const fs::path bundle = source_path("bundles/tiny-gqa8-hd64");
  const auto check = [&](const fs::path& model) {
    return run_with_cache(cache, {"check", model.string(), "--backend", "cpu", "--variant", "int4", "--backend-option",
                                  "cpu:weight_cache=1"});
  };
  std::vector<std::future<ProgramRun>> runs;
  for (int process = 0; process < 3; ++process) {
    runs.push_back(std::async(std::launch::async, [&] { return check(bundle); }));
  }
  for (std::future<ProgramRun>& running : runs) {
    const ProgramRun run = running.get();
    CAPTURE(run.err);
    CHECK(run.status == 0);
  }
  // While one process stores weights, the others do not wait. Weights that no process has stored are stored by this
  // run.
  CHECK(check(bundle).status == 0);
  const std::string listed = run_with_cache(cache, {"cache", "list"}).out;
  CHECK_FALSE(contains(listed, "packed: 0 packed weights"));
  for (const auto& item : fs::directory_iterator(cache / "secondsource" / "packed")) {
    CHECK_FALSE(item.path().filename().string().ends_with(".partial"));
  }
  fs::copy(bundle, scratch.path() / "copy", fs::copy_options::recursive);
  CHECK(check(scratch.path() / "copy").status == 0);
  CHECK(run_with_cache(cache, {"cache", "list"}).out == listed);
}

TEST_CASE("a cache that cannot be written to is said in one line, and nothing half-written is left") {
  const ScratchFolder scratch;
  REQUIRE_OK(write_file(scratch.path() / "secondsource", "a file where the folder should be"));
  const ProgramRun run =
      run_with_cache(scratch.path(), {"check", source_path("bundles/tiny-gqa8-hd64"), "--backend", "cpu", "--variant",
                                      "int8", "--backend-option", "cpu:weight_cache=1"});
  CHECK(run.status != 0);
  CHECK(contains(run.out, "packed: cannot create: "));
}
