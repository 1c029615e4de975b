#pragma once
// The pre-tokenizers of Hugging Face tokenizers: they split a text into the words that BPE encodes one by one.

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "tokenizer/pattern.h"

namespace secondsource::tokenizer {

/// What happens to the text that a pattern matches: it is dropped, becomes a word of its own, joins the word before or
/// after it, or joins the matches directly next to it.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitStep {
  Pattern pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // the text between the matches counts as the match
};
/// GPT-2's step: puts an optional space in front, splits by its pattern (unless `use_regex` is off), then converts to
/// the byte alphabet.
struct ByteLevelStep {
  bool add_prefix_space = true;
  std::optional<Regex> pattern;
};
/// SentencePiece's step: spaces become `replacement`, one is put in front, and words begin at each of them.
struct MetaspaceStep {
  enum class PrependScheme { kFirst, kNever, kAlways };  // kFirst: before the first character of the whole text
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
/// Keeps the matches of \w+|[^\w\s]+ and drops everything else.
struct WhitespaceStep {};
/// Splits at white space and drops it.
struct WhitespaceSplitStep {};

/// A Sequence becomes several steps.
using PreTokenizerStep = std::variant<SplitStep, ByteLevelStep, MetaspaceStep, DigitsStep, PunctuationStep,
                                      WhitespaceStep, WhitespaceSplitStep>;

/// The pattern of GPT-2 (Radford et al. 2019, encoder.py).
[[nodiscard]] std::string_view gpt2_pattern();

/// Receives the words in order.
class WordSink {
 public:
  virtual ~WordSink() = default;
  /// The view is valid only during the call.
  virtual void word(std::string_view text) = 0;
};

/// The working memory for splitting; one per thread.
struct PreTokenizerScratch {
  RegexScratch regex;
  std::vector<std::string> level_texts;  // per step: its changed text, while its pieces go through the later steps
};

/// Splits one stretch of text. `first_end`: the number of bytes at its front that come from the first character of the whole text, as
/// in normalize() (for PrependScheme::kFirst). If the last step is ByteLevel, its change of alphabet is left out, so that the words are raw
/// bytes (see BpeOptions).
/// Errors: those of Regex::find.
Result<void> pre_tokenize(std::string_view text, std::size_t first_end, const std::vector<PreTokenizerStep>& steps,
                          PreTokenizerScratch& scratch, WordSink& sink);

}  // namespace secondsource::tokenizer
