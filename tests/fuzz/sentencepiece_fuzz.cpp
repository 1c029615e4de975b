// Fuzzes SentencePiece's tokenizer.model: whatever is taken becomes a tokenizer.json that is taken, too, and encodes.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tokenizer/gguf_tokenizer_json.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto model = parse_sentencepiece_model({reinterpret_cast<const char*>(data), size}, "file");
  if (!model) return 0;
  if (model->scores.size() != model->pieces.size() || model->types.size() != model->pieces.size()) std::abort();
  const auto vocabulary = sentencepiece_vocabulary(*model, "file");
  if (!vocabulary) return 0;
  const auto json = gguf_tokenizer_json(*vocabulary, "file");
  if (!json) return 0;
  const auto tokenizer = Tokenizer::from_json(*json, "file");
  if (!tokenizer) std::abort();
  (void)tokenizer->encode("To be, or\n\nnot to be \xf0\x9f\xa6\x99", {});
  return 0;
}
