#pragma once
// The tokenizer of a GGUF file, from the values under its "tokenizer.ggml." keys. This folder does not read GGUF files;
// whoever does fills this struct.

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
  std::string pre;                  ///< gpt2: which pre-tokenizer; empty is "default"
  std::vector<std::string> tokens;  ///< the text of each id
  std::vector<float> scores;        ///< llama: one a token; the pair that makes the best-scored token merges first
  std::vector<std::int32_t> token_types;  ///< one a token, or none: 1 normal, 2 unknown, 3 control, 4 user-defined,
                                          ///< 5 unused, 6 byte
  std::vector<std::string> merges;        ///< gpt2: "left right", first merges first
  std::optional<std::int64_t> bos_id;
  std::optional<std::int64_t> eos_id;
  std::optional<std::int64_t> unk_id;
  std::optional<bool> add_bos;           ///< absent: true for llama, else what `pre` implies
  std::optional<bool> add_eos;           ///< absent: false
  std::optional<bool> add_space_prefix;  ///< llama; absent: true
};

/// The tokenizer, with the ids that llama.cpp gives. `name_for_messages` begins every error line.
/// Errors: kInvalidInput for values that do not fit together, kUnsupported for another model or pre-tokenizer, by name.
Result<Tokenizer> tokenizer_from_gguf(const GgufVocabulary& vocabulary, std::string_view name_for_messages);

}  // namespace secondsource
