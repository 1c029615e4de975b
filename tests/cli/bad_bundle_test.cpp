// Bundles whose own files are wrong. They are reported as bad input before any backend runs, so that no backend is blamed.

#include <filesystem>
#include <fstream>

#include "core/file.h"
#include "core/hash.h"
#include "expectations.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

namespace fs = std::filesystem;

fs::path copy_of_bundle(const ScratchFolder& scratch) {
  const fs::path bundle = scratch.path() / "bundle";
  fs::copy(source_path("bundles/tiny-gqa8-hd64"), bundle, fs::copy_options::recursive);
  return bundle;
}

void check_refused_by_all(const fs::path& bundle, std::string_view part) {
  check_refused(run_program({"run", bundle.string(), "--backend", "reference", "--no-golden"}), part);
  check_refused(run_program({"run", bundle.string(), "--backend", "reference"}), part);
  check_refused(run_program({"check", bundle.string(), "--backend", "reference"}), part);
}

}  // namespace

TEST_CASE("a damaged bundle is bad input before any backend is asked, with and without golden prompts") {
  const ScratchFolder scratch;
  const fs::path bundle = copy_of_bundle(scratch);
  std::fstream file(bundle / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(300'000);
  file.put('\x5A');
  file.put('\xA5');
  file.close();
  check_refused_by_all(bundle, "model.safetensors: damaged: expected SHA-256 ");
}

TEST_CASE("expected ids outside the vocabulary are bad input, although every hash is right") {
  const ScratchFolder scratch;
  const fs::path bundle = copy_of_bundle(scratch);
  std::string expected = read_file(bundle / "expected" / "bf16.jsonl").value();
  const std::string before = sha256_hex(expected);
  // Replaces the first expected id of the first prompt by an id of the same length, both in `ids` and in `top`.
  for (const std::string_view place : {"\"ids\":[", "\"top\":[[["}) {
    const std::size_t at = expected.find(place, expected.find("prompt_sha256")) + place.size();
    REQUIRE(expected.substr(at, 4) == "233,");
    expected.replace(at, 3, "999");
  }
  REQUIRE_OK(write_file(bundle / "expected" / "bf16.jsonl", expected));
  std::string manifest = read_file(bundle / "manifest.yaml").value();
  manifest.replace(manifest.find(before), before.size(), sha256_hex(expected));
  REQUIRE_OK(write_file(bundle / "manifest.yaml", manifest));
  check_refused_by_all(bundle, "bf16.jsonl: prompt ids-001: expected ids below 512, found 999");
}
