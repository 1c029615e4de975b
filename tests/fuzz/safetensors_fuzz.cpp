// Fuzzes safetensors headers. The tensors of an accepted header must lie in the file one after another.

#include <cstdint>
#include <cstdlib>

#include "bundle/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto header = parse_safetensors(std::as_bytes(std::span(data, size)), "file");
  if (!header) return 0;
  std::size_t end = header->data_offset_bytes;
  for (const TensorInfo& tensor : header->tensors) {
    if (tensor.offset_bytes != end || tensor.size_bytes > size - end) std::abort();
    end += tensor.size_bytes;
  }
  if (end != size) std::abort();
  return 0;
}
