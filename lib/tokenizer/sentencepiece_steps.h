#pragma once
// The steps of SentencePiece around its model (github.com/google/sentencepiece, normalizer.cc), as the parts of a
// tokenizer.json: it maps characters, removes superfluous spaces, writes the others as U+2581, and prepends one. A map
// of characters is applied as in Hugging Face tokenizers (character_map.h).

#include <nlohmann/json_fwd.hpp>

#include "tokenizer/gguf_vocabulary.h"

namespace secondsource::tokenizer {

/// The part "normalizer".
nlohmann::ordered_json sentencepiece_normalizer(const GgufVocabulary& vocabulary);

/// The part "pre_tokenizer" of a Unigram model. Words begin at each U+2581 if U+2581 is a piece and no piece has it
/// after its beginning, because the ids are then the same as for the whole text; null otherwise.
nlohmann::ordered_json sentencepiece_pre_tokenizer(const GgufVocabulary& vocabulary);

/// The part "decoder". `has_bytes`: the vocabulary has a piece for each byte.
nlohmann::ordered_json sentencepiece_decoder(const GgufVocabulary& vocabulary, bool has_bytes);

}  // namespace secondsource::tokenizer
