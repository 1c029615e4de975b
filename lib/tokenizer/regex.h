#pragma once
// Regular expressions of tokenizer files, run by PCRE2. The files are written for Oniguruma; oniguruma.h spells out
// what has another meaning there before the pattern is compiled.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource::tokenizer {

/// The bytes [begin, end) of the searched text.
struct TextSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// The working memory for searches and the work that is left for one text; one per thread, for any number of patterns.
class RegexScratch {
 public:
  /// Begins with the budget of an empty text.
  RegexScratch();
  ~RegexScratch();
  RegexScratch(RegexScratch&&) noexcept;
  RegexScratch& operator=(RegexScratch&&) noexcept;

  /// Sets the work that all patterns and replacements together may do on a text of this size. Ordinary matches are not
  /// counted: a pattern of a real tokenizer takes a few hundred steps for one.
  void begin_text(std::size_t n_bytes);
  /// Takes steps (of a search, or bytes by which a text grows) from what is left; false if there are not as many.
  [[nodiscard]] bool spend(std::uint64_t n_steps);
  [[nodiscard]] std::uint64_t steps_left() const;

 private:
  friend class Regex;
  struct State;
  std::unique_ptr<State> state_;
};

/// A compiled pattern; immutable, so threads may share it.
class Regex {
 public:
  /// Errors: kInvalidInput with the position and the reason given by PCRE2. Patterns over 16 KiB and nested classes are
  /// refused.
  static Result<Regex> compile(std::string_view pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// The first match at or after `start`, which must be a character boundary. `text` must be valid UTF-8.
  /// Errors: kInvalidInput when the pattern exceeds the step limit of a match, or what `scratch` has left for the text.
  Result<std::optional<TextSpan>> find(std::string_view text, std::size_t start, RegexScratch& scratch) const;

 private:
  struct Code;
  explicit Regex(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code_;
};

}  // namespace secondsource::tokenizer
