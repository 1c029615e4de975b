#pragma once
// The tokenizer of a GGUF file, from the values under its "tokenizer.ggml." keys. This folder does not read GGUF files;
// the GGUF reader fills this struct.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {

struct GgufVocabulary {
  std::string model;                ///< "gpt2" (byte-level BPE) or "llama" (SentencePiece-style BPE)
  std::string pre;                  ///< gpt2: name of the pre-tokenizer; empty means "default"
  std::vector<std::string> tokens;  ///< the text of each id
  std::vector<float> scores;  ///< llama: one per token; the pair that forms the token with the best score merges first
  /// One per token, or empty: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  std::vector<std::int32_t> token_types;
  std::vector<std::string> merges;  ///< gpt2: "left right", first merges first
  std::optional<std::int64_t> bos_id;
  std::optional<std::int64_t> eos_id;
  std::optional<std::int64_t> unk_id;
  std::optional<bool> add_bos;           ///< absent: true for llama, otherwise implied by `pre`
  std::optional<bool> add_eos;           ///< absent: false
  std::optional<bool> add_space_prefix;  ///< llama; absent: true
};

/// The tokenizer; it gives the same ids as llama.cpp. Every error line begins with `name_for_messages`. Several tokens may
/// have one text; the first of them stands for it.
/// Errors: kInvalidInput for values that do not fit together, among them a later one of several tokens with one text where
/// it is the unknown token or stands around every text; kUnsupported for another model or pre-tokenizer.
Result<Tokenizer> tokenizer_from_gguf(const GgufVocabulary& vocabulary, std::string_view name_for_messages);

}  // namespace secondsource
