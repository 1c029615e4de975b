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
  /// "gpt2" (byte-level BPE), "llama" (SentencePiece-style BPE) or "unigram" (SentencePiece's Unigram; it comes from a
  /// tokenizer.model, never from a GGUF file).
  std::string model;
  std::string pre;                  ///< gpt2: name of the pre-tokenizer; empty means "default"
  std::vector<std::string> tokens;  ///< the text of each id
  /// llama, unigram: one per token. For llama, the pair that forms the token with the best score merges first; for a
  /// Unigram, the pieces with the best sum are chosen.
  std::vector<float> scores;
  /// One per token, or empty: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  std::vector<std::int32_t> token_types;
  std::vector<std::string> merges;  ///< gpt2: "left right", first merges first
  bool takes_whole_words = false;   ///< gpt2: a word that is a token is taken before any merge, whatever `pre` says
  std::optional<std::int64_t> bos_id;
  std::optional<std::int64_t> eos_id;
  std::optional<std::int64_t> unk_id;
  std::optional<bool> add_bos;           ///< absent: true for llama and unigram, otherwise implied by `pre`
  std::optional<bool> add_eos;           ///< absent: false
  std::optional<bool> add_space_prefix;  ///< llama, unigram; absent: true
  // llama and unigram, from a tokenizer.model; a GGUF file of "llama" has neither.
  std::string character_map;          ///< SentencePiece's compiled map (character_map.h); empty: characters stay
  bool removes_extra_spaces = false;  ///< at both ends of a text, and all but one of several consecutive ones
};

/// Whether tokens stand for single bytes, by their types.
[[nodiscard]] bool has_byte_tokens(const GgufVocabulary& vocabulary);

/// The tokenizer; for gpt2 and llama it gives the same ids as llama.cpp. Every error line begins with
/// `name_for_messages`. Several tokens may have the same text, which then stands for the first of them. Errors:
/// kInvalidInput for values that do not fit together, including a later token with a repeated text as the unknown token
/// or as one that is added to every text; kUnsupported for another model or pre-tokenizer.
Result<Tokenizer> tokenizer_from_gguf(const GgufVocabulary& vocabulary, std::string_view name_for_messages);

}  // namespace secondsource
