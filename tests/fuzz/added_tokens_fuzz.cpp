// Fuzzes the files by which a folder adds tokens to SentencePiece's tokenizer.model. Each input is read as tokenizer_config.json, whose
// added_tokens_decoder lists tokens, and then as added_tokens.json. If the reader accepts it, the tokenizer.json that is made of it
// must load, and must encode and decode a text without an error of memory.

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "bundle/sentencepiece_files.h"
#include "tokenizer/tokenizer.h"

namespace {

using namespace secondsource;

/// A piece of sentencepiece_model.proto: its text, a score of 0 and its type (1 normal, 2 unknown, 3 control).
std::string piece(std::string_view text, char type) {
  std::string fields = {'\x0a', static_cast<char>(text.size())};
  fields += text;
  fields += std::string("\x15\0\0\0\0\x18", 6) + type;
  return std::string("\x0a") + static_cast<char>(fields.size()) + fields;
}

/// A BPE model of six pieces.
std::string model() {
  return piece("<unk>", 2) + piece("<s>", 3) + piece("</s>", 3) + piece("\xe2\x96\x81", 1) + piece("a", 1) +
         piece("b", 1) + std::string("\x12\x02\x18\x02");  // trainer_spec: model_type BPE
}

void make_tokenizer(std::string_view file, std::string_view content) {
  const ChatFileReader read = [&](std::string_view path) -> Result<std::optional<std::string>> {
    if (path == kSentencePieceFile) return std::optional(model());
    return path == file ? std::optional(std::string(content)) : std::nullopt;
  };
  const auto json = tokenizer_json_of_sentencepiece(read, "fuzz");
  if (!json) return;
  if (!*json) std::abort();
  const auto tokenizer = Tokenizer::from_json(**json, "tokenizer.json");
  if (!tokenizer) std::abort();
  if (const auto ids = tokenizer->encode("ab ba <pad> b", {})) (void)tokenizer->decode(*ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  make_tokenizer("tokenizer_config.json", text);
  make_tokenizer("added_tokens.json", text);
  return 0;
}
