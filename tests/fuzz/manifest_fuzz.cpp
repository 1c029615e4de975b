// Fuzzes manifests and the YAML reader. An accepted manifest must stay the same when it is written and read again.

#include <cstdint>
#include <cstdlib>

#include "bundle/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto manifest = parse_manifest(std::string_view(reinterpret_cast<const char*>(data), size), "manifest.yaml");
  if (!manifest) return 0;
  const std::string written = write_manifest(*manifest);
  const auto again = parse_manifest(written, "manifest.yaml");
  if (!again || write_manifest(*again) != written) std::abort();
  return 0;
}
