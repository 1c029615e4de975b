#pragma once
// The tokenizer of a folder that has a tiktoken file and no tokenizer.json. Such a file contains neither the pattern
// that splits a text nor the special tokens. The pattern is known for some families; the special tokens come from
// tokenizer_config.json.

#include <string>
#include <string_view>

#include "bundle/chat_files.h"
#include "core/result.h"
#include "tokenizer/gguf_vocabulary.h"

namespace secondsource {

/// The vocabulary of a tiktoken file, without the added tokens. The pattern follows from model_type in config.json and the number of
/// tokens in the file; both must be those of a published family (docs/making-bundles.md has the table). Errors: kUnsupported for
/// another family or number and where tokenizer_config.json lists no added tokens; kInvalidInput for damaged files.
Result<GgufVocabulary> tiktoken_vocabulary_of(const ChatFileReader& read, const std::string& folder_name,
                                              std::string_view content, const std::string& name);

/// Looks up bos_token and eos_token of the folder's settings among the tokens of a vocabulary that has its added tokens.
Result<void> set_first_and_last_token(const ChatFileReader& read, const std::string& folder_name,
                                      GgufVocabulary& vocabulary);

}  // namespace secondsource
