#pragma once
// Regular expressions of tokenizer files, through PCRE2. Such files are written for Oniguruma, so the few classes that
// mean something else there (\s, \w, \h) are spelled out before the pattern is compiled.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource::tokenizer {

/// Bytes [begin, end) of the text that was searched.
struct TextSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// The working memory of searches; one per thread, for any number of patterns.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(RegexScratch&&) noexcept;
  RegexScratch& operator=(RegexScratch&&) noexcept;

 private:
  friend class Regex;
  struct State;
  std::unique_ptr<State> state_;
};

/// A compiled pattern; immutable, so threads may share it.
class Regex {
 public:
  /// Errors: kInvalidInput with the position and PCRE2's reason; patterns over 16 KiB and nested classes are refused.
  static Result<Regex> compile(std::string_view pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// The first match at or after `start` (a character boundary). `text` is valid UTF-8.
  /// Errors: kInvalidInput when the pattern needs more than its share of steps on this text.
  Result<std::optional<TextSpan>> find(std::string_view text, std::size_t start, RegexScratch& scratch) const;

 private:
  struct Code;
  explicit Regex(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code_;
};

/// The pattern in PCRE2's words. Errors: kInvalidInput for a class inside a class.
Result<std::string> pattern_for_pcre2(std::string_view pattern);

}  // namespace secondsource::tokenizer
