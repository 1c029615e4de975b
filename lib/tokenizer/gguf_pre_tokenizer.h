#pragma once
// The pre-tokenizers that GGUF files select by name in "tokenizer.ggml.pre".

#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/pre_tokenizer.h"

namespace secondsource::tokenizer {

struct GgufPreTokenizer {
  std::vector<PreTokenizerStep> steps;
  bool ignore_merges = false;
  bool add_bos = false;  // used if the file does not state it
};

/// Errors: kUnsupported for an unknown name.
Result<GgufPreTokenizer> gguf_pre_tokenizer(std::string_view pre);

}  // namespace secondsource::tokenizer
