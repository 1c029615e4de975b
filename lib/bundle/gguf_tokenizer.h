#pragma once
// The tokenizer of a GGUF file: converts the header values that lib/bundle reads to the vocabulary that lib/tokenizer
// takes.

#include "bundle/gguf.h"
#include "core/result.h"
#include "tokenizer/gguf_vocabulary.h"

namespace secondsource {

/// Reads the values under "tokenizer.ggml.". Errors: kInvalidInput when the model or the tokens are missing, or when a
/// value has the wrong type for its key.
Result<GgufVocabulary> gguf_vocabulary_of(const GgufHeader& header);

}  // namespace secondsource
