#include "tokenizer/pattern.h"

#include <fmt/format.h>

#include <algorithm>

#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {

Result<std::optional<TextSpan>> PatternFinder::next() {
  if (const Regex* regex = std::get_if<Regex>(&pattern_)) return next_of_regex(*regex);
  const std::string& literal = std::get<std::string>(pattern_);
  if (literal.empty()) return std::optional<TextSpan>();
  const std::size_t begin = text_.find(literal, position_);
  if (begin == std::string_view::npos) return std::optional<TextSpan>();
  position_ = begin + literal.size();
  return std::optional<TextSpan>(TextSpan{begin, position_});
}

Result<std::optional<TextSpan>> PatternFinder::next_of_regex(const Regex& regex) {
  while (position_ <= text_.size()) {
    SS_TRY(const std::optional<TextSpan> match, regex.find(text_, position_, scratch_));
    // A lookbehind with \K can report a start before that of the search; such a match would repeat text.
    if (!match || match->begin < position_) break;
    if (match->begin == match->end && last_match_end_ == match->end) {
      if (position_ == text_.size()) break;
      position_ += character_length(text_[position_]);
      continue;
    }
    position_ = match->end;
    last_match_end_ = match->end;
    return match;
  }
  return std::optional<TextSpan>();
}

Result<std::string> replace_all(std::string_view text, const Pattern& pattern, std::string_view content,
                                RegexScratch& scratch, std::size_t* first_end) {
  std::string result;
  result.reserve(text.size());
  std::size_t copied = 0;
  std::size_t kept_first = 0;
  PatternFinder finder(pattern, text, scratch);
  while (true) {
    SS_TRY(const std::optional<TextSpan> match, finder.next());
    if (!match) break;
    result.append(text.substr(copied, match->begin - copied));
    result.append(content);
    if (first_end != nullptr) {
      kept_first += std::min(*first_end, match->begin) - std::min(*first_end, copied);
      // What replaces a match comes from the last character of the match.
      if (match->end <= *first_end) kept_first += content.size();
    }
    copied = match->end;
    if (result.size() > text.size() + scratch.steps_left()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("replacing in a text of {} bytes: expected it to grow by at most "
                               "{} bytes",
                               text.size(), scratch.steps_left())};
    }
  }
  result.append(text.substr(copied));
  if (first_end != nullptr) *first_end += kept_first - std::min(*first_end, copied);
  return result;
}

}  // namespace secondsource::tokenizer
