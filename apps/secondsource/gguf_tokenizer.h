#pragma once
// The tokenizer of a GGUF file: brings what lib/bundle reads from the header to what lib/tokenizer makes a tokenizer
// of.

#include "bundle/gguf.h"
#include "core/result.h"
#include "tokenizer/gguf_vocabulary.h"

namespace secondsource {

/// The values under "tokenizer.ggml.". Errors: kInvalidInput when the model or the tokens are not there, or when a
/// value has another type than that key has.
Result<GgufVocabulary> gguf_vocabulary_of(const GgufHeader& header);

}  // namespace secondsource
