// Fuzzes the tokenizer in a GGUF file. An accepted one must encode and decode any text without a crash. The tokenizer.json
// that is made of it must be accepted too, and add the same ids before and after every text.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "bundle/gguf_tokenizer.h"
#include "tokenizer/gguf_tokenizer_json.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto header = parse_gguf(std::as_bytes(std::span(data, size)), "file");
  if (!header) return 0;
  const auto vocabulary = gguf_vocabulary_of(*header);
  if (!vocabulary) return 0;
  const auto tokenizer = tokenizer_from_gguf(*vocabulary, "file");
  if (!tokenizer) return 0;
  const auto json = gguf_tokenizer_json(*vocabulary, "file");
  if (!json) std::abort();
  const auto from_json = Tokenizer::from_json(*json, "file");
  if (!from_json) std::abort();
  if (!std::ranges::equal(tokenizer->prefix_ids(), from_json->prefix_ids())) std::abort();
  if (!std::ranges::equal(tokenizer->suffix_ids(), from_json->suffix_ids())) std::abort();
  for (const std::string_view text :
       {"", " a <s> \xc3\xa9\n\tb12 's", "\xf0\x9f\xa6\x99\xe6\x97\xa5   aaaaaaaaaaaab"}) {
    if (const auto ids = tokenizer->encode(text)) (void)tokenizer->decode(*ids);
  }
  return 0;
}
