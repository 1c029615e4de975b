// Fuzzes the tokenizer in a GGUF file. An accepted one must encode and decode any text without a crash.

#include <cstdint>
#include <string_view>
#include <vector>

#include "bundle/gguf_tokenizer.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto header = parse_gguf(std::as_bytes(std::span(data, size)), "file");
  if (!header) return 0;
  const auto vocabulary = gguf_vocabulary_of(*header);
  if (!vocabulary) return 0;
  const auto tokenizer = tokenizer_from_gguf(*vocabulary, "file");
  if (!tokenizer) return 0;
  for (const std::string_view text :
       {"", " a <s> \xc3\xa9\n\tb12 's", "\xf0\x9f\xa6\x99\xe6\x97\xa5   aaaaaaaaaaaab"}) {
    if (const auto ids = tokenizer->encode(text)) (void)tokenizer->decode(*ids);
  }
  return 0;
}
