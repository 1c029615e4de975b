// Fuzzes SentencePiece's tokenizer.model. An accepted model must become a tokenizer.json that is accepted too. For Unigram models, it
// must give the same ids as the tokenizer made directly from the model. BPE models may differ: in memory, pieces with equal scores merge
// from the left, and in a tokenizer.json in the order of their ids.

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
  const auto in_memory = tokenizer_from_gguf(*vocabulary, "file");
  const auto json = gguf_tokenizer_json(*vocabulary, "file");
  if (in_memory.has_value() != json.has_value()) std::abort();
  if (!json) return 0;
  const auto tokenizer = Tokenizer::from_json(*json, "file");
  if (!tokenizer) std::abort();
  for (const std::string_view text :
       {"To be, or\n\nnot to be \xf0\x9f\xa6\x99", "  a\xe2\x96\x81 \xef\xac\x81 \xe2\x96\x81"}) {
    const auto ids = tokenizer->encode(text, {});
    if (!ids) continue;
    (void)tokenizer->decode(*ids);
    const auto expected = in_memory->encode(text, {});
    if (vocabulary->model == "unigram" && (!expected || *expected != *ids)) std::abort();
  }
  return 0;
}
