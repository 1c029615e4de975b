#pragma once
// The normalizers of Hugging Face tokenizers: steps that change a text before it is split into words.

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "tokenizer/character_map.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {

/// One of the four normalization forms.
struct UnicodeNormalizer {
  UnicodeForm form = UnicodeForm::kNfc;
};
/// Puts `text` in front of a text that is not empty.
struct PrependNormalizer {
  std::string text;
};
/// Replaces each match by `content`.
struct ReplaceNormalizer {
  Pattern pattern;
  std::string content;
};
struct LowercaseNormalizer {};
/// Removes combining marks.
struct StripAccentsNormalizer {};
/// Removes white space at the start and the end.
struct StripNormalizer {
  bool left = true;
  bool right = true;
};

/// Replaces characters by the map of a SentencePiece model.
struct PrecompiledNormalizer {
  std::shared_ptr<const CharacterMap> map;  ///< never null
};
/// Removes control characters and makes spaces of other white space, by the rules of SentencePiece's `nmt`.
struct NmtNormalizer {};

/// A Sequence becomes several steps.
using NormalizerStep = std::variant<UnicodeNormalizer, PrependNormalizer, ReplaceNormalizer, LowercaseNormalizer,
                                    StripAccentsNormalizer, StripNormalizer, PrecompiledNormalizer, NmtNormalizer>;

/// Runs all steps in order and returns the text. `first_end`, if there is one, is the number of bytes at the front that
/// come from the first character of the whole text, before and after: a step may remove that character, or put others
/// in front of it. Errors: those of Regex::find, and kInvalidInput if the steps make the text larger by more than
/// `scratch` has left for it.
Result<std::string> normalize(std::string_view text, const std::vector<NormalizerStep>& steps, RegexScratch& scratch,
                              std::size_t* first_end = nullptr);

}  // namespace secondsource::tokenizer
