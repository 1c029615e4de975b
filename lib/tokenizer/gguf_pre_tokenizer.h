#pragma once
// The pre-tokenizers that GGUF files name in "tokenizer.ggml.pre".

#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/pre_tokenizer.h"

namespace secondsource::tokenizer {

struct GgufPreTokenizer {
  std::vector<PreTokenizerStep> steps;
  bool ignore_merges = false;
  bool add_bos = false;  // where the file does not say
};

/// Errors: kUnsupported for a name that is not known here.
Result<GgufPreTokenizer> gguf_pre_tokenizer(std::string_view pre);

}  // namespace secondsource::tokenizer
