// Fuzzes config.json and the JSON reader. The tensors of an accepted configuration must have sizes that do not
// overflow.

#include <cstdint>
#include <cstdlib>

#include "bundle/model_config.h"
#include "bundle/model_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto config = parse_model_config(std::string_view(reinterpret_cast<const char*>(data), size), "config.json");
  if (config && config->n_layers < 64 && n_parameters(*config) <= 0) std::abort();
  return 0;
}
