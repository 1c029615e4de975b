#pragma once
// What SentencePiece does around its model (github.com/google/sentencepiece, normalizer.cc), as the parts of a tokenizer.json: it
// maps characters, removes spaces, writes the others as U+2581, and puts one in front. A map of characters is applied as
// Hugging Face tokenizers applies it (character_map.h).

#include <nlohmann/json_fwd.hpp>

#include "tokenizer/gguf_vocabulary.h"

namespace secondsource::tokenizer {

/// The part "normalizer".
nlohmann::ordered_json sentencepiece_normalizer(const GgufVocabulary& vocabulary);

/// The part "pre_tokenizer" of a Unigram model: words begin at each U+2581 if that gives the same ids as the whole text would,
/// because it is a piece and within no other piece; null if not.
nlohmann::ordered_json sentencepiece_pre_tokenizer(const GgufVocabulary& vocabulary);

/// The part "decoder". `has_bytes`: the vocabulary has a piece for each byte.
nlohmann::ordered_json sentencepiece_decoder(const GgufVocabulary& vocabulary, bool has_bytes);

}  // namespace secondsource::tokenizer
