// Fuzzes model.safetensors.index.json. The shards that an accepted index names lie in its own folder and are safetensors files; a
// refusal is one line.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "bundle/relative_path.h"
#include "bundle/tensor_store.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const int file = memfd_create("index", MFD_CLOEXEC);
  if (file < 0) std::abort();
  if (write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  const auto shards = files_of_weight_index("/proc/self/fd/" + std::to_string(file));
  close(file);
  if (!shards) {
    if (shards.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  for (const std::string& shard : *shards) {
    if (!check_relative_path(shard, "fuzz") || !shard.ends_with(".safetensors")) std::abort();
  }
  return 0;
}
