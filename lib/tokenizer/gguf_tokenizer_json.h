#pragma once
// Writes the tokenizer of a GGUF file as a tokenizer.json, so that a bundle made of the file has the same form as any other
// and other programs (the package `tokenizers`) read the same tokenizer.

#include <string>
#include <string_view>

#include "core/result.h"
#include "tokenizer/gguf_vocabulary.h"

namespace secondsource {

/// The text of a tokenizer.json from which Tokenizer::from_json makes the same tokenizer as tokenizer_from_gguf, which
/// must accept the vocabulary. A token whose text an earlier token has is left out, because no text becomes its id.
/// Where scores of a SentencePiece vocabulary are equal, the merge of the lower id comes first, as transformers
/// converts such files; llama.cpp takes the leftmost. Error messages begin with `name_for_messages`. Errors:
/// kInvalidInput, kUnsupported for another model or pre-tokenizer.
Result<std::string> gguf_tokenizer_json(const GgufVocabulary& vocabulary, std::string_view name_for_messages);

}  // namespace secondsource
