// Fuzzes tiktoken's vocabulary files. The tokenizer.json that is made of an accepted file must be accepted too, and decoding the ids of a
// text must give the text again.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tokenizer/gguf_tokenizer_json.h"
#include "tokenizer/tiktoken_file.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  const auto tokens = parse_tiktoken_file(content, "file");
  if (!tokens) return 0;
  if (!is_tiktoken_file(content)) std::abort();
  const auto vocabulary = tiktoken_vocabulary(*tokens, "qwen2", "file");
  if (!vocabulary) return 0;
  const auto json = gguf_tokenizer_json(*vocabulary, "file");
  if (!json) return 0;
  const auto tokenizer = Tokenizer::from_json(*json, "file");
  if (!tokenizer) std::abort();
  // All single bytes are tokens, so that every text can be encoded.
  constexpr std::string_view kText = "To be, or\n\nnot to be \xf0\x9f\xa6\x99 aaaab";
  const auto ids = tokenizer->encode(kText, {});
  if (!ids || tokenizer->decode(*ids) != kText) std::abort();
  return 0;
}
