// Fuzzes tokenizer.json. An accepted tokenizer must encode and decode any text without a crash, with the same result
// streamed and at once.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  (void)parse_tokenizer_config(json, "tokenizer_config.json");
  const Result<Tokenizer> tokenizer = Tokenizer::from_json(json, "tokenizer.json");
  if (!tokenizer) {
    if (tokenizer.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  for (const std::string_view text :
       {"", " a <|start|> \xc3\xa9\n\tb12 's", "\xf0\x9f\xa6\x99\xe6\x97\xa5   aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}) {
    const Result<std::vector<std::int32_t>> ids = tokenizer->encode(text);
    if (!ids) continue;
    const std::string decoded = tokenizer->decode(*ids);
    StreamingDecoder decoder = tokenizer->stream();
    std::string streamed;
    for (const std::int32_t id : *ids) streamed += decoder.push(id);
    streamed += decoder.finish();
    if (streamed != decoded) std::abort();
  }
  return 0;
}
