// Fuzzes zip archives in memory: checks the directory, then reads all contents.

#include <cstdint>
#include <cstdlib>

#include "bundle/relative_path.h"
#include "bundle/zip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  // Small limits make a run fast without changing which code is tested.
  const ZipLimits limits{.max_entries = 100, .max_total_bytes = 1 << 22, .max_ratio = 200};
  const auto archive = ZipArchive::open_bytes(std::as_bytes(std::span(data, size)), "a.zip", limits);
  if (!archive) return 0;
  for (const ZipEntry& entry : archive->entries()) {
    if (!check_relative_path(entry.path, "a.zip")) std::abort();
  }
  SilentProgress progress;
  const InterruptFlag interrupt;
  (void)archive->check_contents(progress, interrupt);
  return 0;
}
