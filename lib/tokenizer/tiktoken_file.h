#pragma once
// A vocabulary file of tiktoken (github.com/openai/tiktoken): lines of a token in base64 and its rank, which is its id. The file has
// neither the pattern by which a text is split nor the special tokens; whoever reads it must know both.

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/gguf_vocabulary.h"

namespace secondsource {

/// Whether the first line is one of such a file.
[[nodiscard]] bool is_tiktoken_file(std::string_view content);

/// The bytes of the tokens, in the order of their ranks. Error messages begin with `name_for_messages`. Errors: kInvalidInput for
/// other lines, for ranks that are not 0, 1, 2, ... in this order, for a token that is there twice, and where the token of a
/// single byte is missing, because then not every text has ids.
Result<std::vector<std::string>> parse_tiktoken_file(std::string_view content, std::string_view name_for_messages);

/// The vocabulary of a byte-level BPE ("gpt2") whose merges are every cut of a token into two others, those of smaller ranks first,
/// as transformers derives them. `pre` names the pattern (gguf_pre_tokenizer.h). Errors: kInvalidInput for tokens that are too
/// long to cut.
Result<GgufVocabulary> tiktoken_vocabulary(const std::vector<std::string>& tokens, std::string_view pre,
                                           std::string_view name_for_messages);

}  // namespace secondsource
