#pragma once
// The pre-tokenizers that GGUF files select by name in "tokenizer.ggml.pre".

#include <span>
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

/// The same before compilation: the regular expressions by which a text is split, applied one after the other.
struct GgufPrePatterns {
  std::string_view name;
  std::span<const std::string_view> patterns;
  bool ignore_merges = false;
  bool add_bos = false;
};

/// Errors: kUnsupported for an unknown name.
Result<GgufPrePatterns> gguf_pre_patterns(std::string_view pre);
Result<GgufPreTokenizer> gguf_pre_tokenizer(std::string_view pre);

}  // namespace secondsource::tokenizer
