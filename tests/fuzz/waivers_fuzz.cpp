// Fuzzes the reader of waivers.

#include <cstdint>
#include <cstdlib>

#include "gate/waiver.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto waivers = parse_waivers(std::string_view(reinterpret_cast<const char*>(data), size), "waivers.yaml");
  if (!waivers && waivers.error().message.find('\n') != std::string::npos) std::abort();
  return 0;
}
