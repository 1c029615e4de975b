// Fuzzes generation_config.json. The ends of text that an accepted file names are token ids, and a refused file leaves those of
// config.json as they were.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "bundle/model_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  ModelConfig config;
  config.eos_ids = {7};
  const auto taken =
      take_generation_config({reinterpret_cast<const char*>(data), size}, "generation_config.json", config);
  if (!taken && config.eos_ids != std::vector<std::int32_t>{7}) std::abort();
  if (std::ranges::any_of(config.eos_ids, [](std::int32_t id) { return id < 0; })) std::abort();
  return 0;
}
