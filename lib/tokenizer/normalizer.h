#pragma once
// What happens to a text before it is cut into words, step by step: the normalizers of Hugging Face tokenizers.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {

/// One of the four normalization forms.
struct UnicodeNormalizer {
  UnicodeForm form = UnicodeForm::kNfc;
};
/// Puts `text` in front, unless there is nothing to put it in front of.
struct PrependNormalizer {
  std::string text;
};
/// Puts `content` in the place of each match.
struct ReplaceNormalizer {
  Pattern pattern;
  std::string content;
};
struct LowercaseNormalizer {};
/// Removes combining marks.
struct StripAccentsNormalizer {};
/// Removes white space at the ends.
struct StripNormalizer {
  bool left = true;
  bool right = true;
};

/// A Sequence is several steps.
using NormalizerStep = std::variant<UnicodeNormalizer, PrependNormalizer, ReplaceNormalizer, LowercaseNormalizer,
                                    StripAccentsNormalizer, StripNormalizer>;

/// The text after all steps, in order. Errors: those of Regex::find, and kInvalidInput when a step makes the text
/// larger than 2 GiB.
Result<std::string> normalize(std::string_view text, const std::vector<NormalizerStep>& steps, RegexScratch& scratch);

}  // namespace secondsource::tokenizer
