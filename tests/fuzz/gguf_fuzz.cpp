// Fuzzes GGUF headers. Strings must be views into the file, and tensors must lie in the file.

#include <cstdint>
#include <cstdlib>

#include "bundle/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto header = parse_gguf(std::as_bytes(std::span(data, size)), "file");
  if (!header) return 0;
  std::size_t n_bytes = 0;  // reads every string, so that the sanitizer detects a view beyond the file
  for (const auto& [key, value] : header->metadata) {
    if (const auto* text = std::get_if<std::string_view>(&value.value)) n_bytes += std::string(*text).size();
    if (const auto* texts = std::get_if<GgufStrings>(&value.value)) {
      for (const std::string_view text : *texts) n_bytes += std::string(text).size();
    }
  }
  if (n_bytes > size) std::abort();
  for (const GgufTensor& tensor : header->tensors) {
    if (tensor.offset_bytes > size || tensor.size_bytes > size - tensor.offset_bytes) std::abort();
  }
  return 0;
}
