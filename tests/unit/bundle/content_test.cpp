// A bundle is identified by its bytes: every flipped byte is found, in a bundle and in a plain folder.

#include "bundle/content.h"

#include <fstream>

#include "core/file.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

Result<std::string> content_of(const fs::path& folder, const fs::path& cache) {
  SilentProgress progress;
  const InterruptFlag never;
  SS_TRY(const Bundle bundle, Bundle::open(folder, progress, never));
  return check_content(bundle, progress, never, cache);
}

fs::path copy_of_tiny_bundle(const test::ScratchFolder& scratch) {
  const fs::path copy = scratch.path() / "bundle";
  fs::copy(test::source_path("bundles/tiny-gqa8-hd64"), copy, fs::copy_options::recursive);
  return copy;
}

/// Changes one byte in the middle of the file; its size stays the same.
void flip_byte(const fs::path& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto middle = static_cast<std::streamoff>(fs::file_size(path) / 2);
  file.seekg(middle);
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(middle);
  file.put(byte);
}

TEST_CASE("a flipped byte of the weights is found as a damaged bundle, also after an undamaged look at it") {
  const test::ScratchFolder scratch;
  const fs::path bundle = copy_of_tiny_bundle(scratch);
  const fs::path cache = GENERATE(true, false) ? scratch.path() / "cache" : fs::path();
  REQUIRE_OK(content_of(bundle, cache));
  flip_byte(bundle / "model.safetensors");
  CHECK_ERROR(content_of(bundle, cache), ErrorCode::kInvalidInput, "model.safetensors: damaged: expected SHA-256 797c");
}

TEST_CASE("a plain folder is identified by the bytes of its files") {
  const test::ScratchFolder scratch;
  const fs::path folder = copy_of_tiny_bundle(scratch);
  fs::remove(folder / "manifest.yaml");
  const auto whole = content_of(folder, {});
  REQUIRE_OK(whole);
  CHECK(whole->size() == 64);
  CHECK(content_of(folder, {}).value() == *whole);
  std::ofstream(folder / ".hidden") << "no part of it";
  CHECK(content_of(folder, {}).value() == *whole);
  flip_byte(folder / "model.safetensors");
  const auto flipped = content_of(folder, {});
  REQUIRE_OK(flipped);
  CHECK(*flipped != *whole);
  fs::rename(folder / "tokenizer.json", folder / "tokenizer2.json");
  CHECK(content_of(folder, {}).value() != *flipped);
}

TEST_CASE("a file whose hash is remembered is not read again until it changes") {
  const test::ScratchFolder scratch;
  const fs::path cache = scratch.path() / "cache";
  const fs::path bundle = test::source_path("bundles/tiny-gqa8-hd64");  // older than one tick of the timestamps
  REQUIRE_OK(content_of(bundle, cache));
  const auto n_remembered = fs::file_size(cache / "hashes");
  CHECK(n_remembered > 0);
  REQUIRE_OK(content_of(bundle, cache));
  CHECK(fs::file_size(cache / "hashes") == n_remembered);
}

TEST_CASE("damage to the remembered hashes does not make a bundle a damaged one") {
  const test::ScratchFolder scratch;
  const fs::path cache = scratch.path() / "cache";
  const fs::path bundle = test::source_path("bundles/tiny-gqa8-hd64");
  REQUIRE_OK(content_of(bundle, cache));
  std::string hashes = read_file(cache / "hashes").value();
  for (char& digit : hashes) {
    if (digit == '7') digit = '8';
  }
  REQUIRE_OK(write_file(cache / "hashes", hashes));
  REQUIRE_OK(content_of(bundle, cache));
}

}  // namespace
}  // namespace secondsource
