#pragma once
// How a text is cut into the words that BPE encodes one by one: the pre-tokenizers of Hugging Face tokenizers.

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "tokenizer/pattern.h"

namespace secondsource::tokenizer {

/// What becomes of the text that a pattern matches: dropped, a word of its own, part of the word before or after it, or
/// one word with the matches right beside it.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitStep {
  Pattern pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // what the pattern does not match counts as the match
};
/// GPT-2's: an optional space in front, its pattern unless `use_regex` is off, then the byte alphabet.
struct ByteLevelStep {
  bool add_prefix_space = true;
  std::optional<Regex> pattern;
};
/// SentencePiece's: spaces become `replacement`, one is put in front, and words begin at it.
struct MetaspaceStep {
  enum class PrependScheme { kFirst, kNever, kAlways };
  std::string replacement = "\xe2\x96\x81";
  PrependScheme prepend_scheme = PrependScheme::kAlways;
  bool split = true;
};
struct DigitsStep {
  bool individual_digits = false;
};
struct PunctuationStep {
  SplitBehavior behavior = SplitBehavior::kIsolated;
};
/// \w+|[^\w\s]+, all else dropped.
struct WhitespaceStep {};
/// Cuts at white space and drops it.
struct WhitespaceSplitStep {};

/// A Sequence is several steps.
using PreTokenizerStep = std::variant<SplitStep, ByteLevelStep, MetaspaceStep, DigitsStep, PunctuationStep,
                                      WhitespaceStep, WhitespaceSplitStep>;

/// The pattern of GPT-2 (Radford et al. 2019, encoder.py).
[[nodiscard]] std::string_view gpt2_pattern();

/// Receives words in order.
class WordSink {
 public:
  virtual ~WordSink() = default;
  /// The view is valid during the call only.
  virtual void word(std::string_view text) = 0;
};

/// The working memory of cutting; one per thread.
struct PreTokenizerScratch {
  RegexScratch regex;
  std::vector<std::string> level_texts;  // one per step: its changed text, while its pieces go through the later steps
};

/// Cuts one stretch of text. `is_at_start`: it begins where the whole text begins (for PrependScheme::kFirst).
/// When the last step is a ByteLevel step its change of alphabet is left out: the words are raw bytes (see BpeOptions).
/// Errors: those of Regex::find.
Result<void> pre_tokenize(std::string_view text, bool is_at_start, const std::vector<PreTokenizerStep>& steps,
                          PreTokenizerScratch& scratch, WordSink& sink);

}  // namespace secondsource::tokenizer
