#pragma once
// The search pattern of a tokenizer step: a literal text or a regular expression.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/result.h"
#include "tokenizer/regex.h"

namespace secondsource::tokenizer {

/// A literal text matches itself; an empty one never matches.
using Pattern = std::variant<std::string, Regex>;

/// Finds the successive matches of a pattern in one text. An empty match directly after another match is skipped, as in
/// Hugging Face tokenizers.
class PatternFinder {
 public:
  PatternFinder(const Pattern& pattern, std::string_view text, RegexScratch& scratch)
      : pattern_(pattern), text_(text), scratch_(scratch) {}

  /// The next match; nullopt after the last one. Errors: those of Regex::find.
  Result<std::optional<TextSpan>> next();

 private:
  Result<std::optional<TextSpan>> next_of_regex(const Regex& regex);

  const Pattern& pattern_;
  std::string_view text_;
  RegexScratch& scratch_;
  std::size_t position_ = 0;
  std::optional<std::size_t> last_match_end_;
};

/// `text` with every match replaced by `content`. `first_end`, if there is one, changes as in normalize().
/// Errors: those of Regex::find.
Result<std::string> replace_all(std::string_view text, const Pattern& pattern, std::string_view content,
                                RegexScratch& scratch, std::size_t* first_end = nullptr);

}  // namespace secondsource::tokenizer
