// Fuzzes the reader of a hub's list of files, and the selection of the files that a bundle needs.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "bundle/relative_path.h"
#include "hub/file_choice.h"
#include "hub/listing.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto listing = parse_hub_listing({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!listing) return 0;
  for (const HubFile& file : listing->files) {
    if (!check_relative_path(file.path, "fuzz") || listing->find(file.path) == nullptr) std::abort();
    if (file.size_bytes.value_or(0) < 0) std::abort();
  }
  for (const auto& chosen : {description_files(*listing, "org/model"), weight_files(*listing, "org/model", {}),
                             gguf_model_files(*listing, "org/model", "m-00001-of-00002.gguf")}) {
    if (!chosen) continue;
    const auto total = total_size(*chosen, "org/model");
    if (total && *total < 0) std::abort();
  }
  if (remark_on_tokenizer(*listing).size() > 10'000) std::abort();
  return 0;
}
