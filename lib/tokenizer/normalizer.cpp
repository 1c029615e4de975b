#include "tokenizer/normalizer.h"

#include <fmt/format.h>

#include <algorithm>

namespace secondsource::tokenizer {
namespace {

std::string strip(std::string_view text, const StripNormalizer& step) {
  std::size_t begin = 0;
  std::size_t end = text.size();
  while (step.left && begin < end) {
    const Character character = character_at(text, begin);
    if (!is_whitespace(character.code_point)) break;
    begin += character.length;
  }
  while (step.right && end > begin) {
    const Character character = character_before(text, end);
    if (!is_whitespace(character.code_point)) break;
    end -= character.length;
  }
  return std::string(text.substr(begin, end - begin));
}

std::string without_marks(std::string_view text) {
  std::string result;
  for (std::size_t offset = 0; offset < text.size();) {
    const Character character = character_at(text, offset);
    if (!is_mark(character.code_point)) result.append(text.substr(offset, character.length));
    offset += character.length;
  }
  return result;
}

/// Characters that NmtNormalizer removes; tokenizers, normalizers/unicode.rs.
bool is_removed_by_nmt(char32_t c) {
  return (c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f;
}
/// Those that it makes spaces.
bool is_space_to_nmt(char32_t c) {
  return c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 || (c >= 0x200b && c <= 0x200f) ||
         c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
}

std::string normalize_nmt(std::string_view text) {
  std::string result;
  for (std::size_t offset = 0; offset < text.size();) {
    const Character character = character_at(text, offset);
    if (is_space_to_nmt(character.code_point)) {
      result += ' ';
    } else if (!is_removed_by_nmt(character.code_point)) {
      result.append(text.substr(offset, character.length));
    }
    offset += character.length;
  }
  return result;
}

struct Apply {
  std::string_view text;
  RegexScratch& scratch;
  std::size_t* first_end = nullptr;

  Result<std::string> operator()(const UnicodeNormalizer& step) const { return normalize_unicode(text, step.form); }
  Result<std::string> operator()(const PrependNormalizer& step) const {
    if (text.empty()) return std::string();
    std::string result = step.text;
    result.append(text);
    return result;
  }
  Result<std::string> operator()(const ReplaceNormalizer& step) const {
    return replace_all(text, step.pattern, step.content, scratch, first_end);
  }
  Result<std::string> operator()(const LowercaseNormalizer&) const { return to_lower(text); }
  Result<std::string> operator()(const StripAccentsNormalizer&) const { return without_marks(text); }
  Result<std::string> operator()(const StripNormalizer& step) const { return strip(text, step); }
  Result<std::string> operator()(const PrecompiledNormalizer& step) const { return step.map->normalize(text); }
  Result<std::string> operator()(const NmtNormalizer&) const { return normalize_nmt(text); }
};

/// The end of the character that has the byte before `offset`, because a composed character may come from several.
std::size_t end_of_character(std::string_view text, std::size_t offset) {
  while (offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xc0U) == 0x80U) ++offset;
  return std::min(offset, text.size());
}

/// Changes the number of bytes that come from the first character; Replace does so itself.
struct MoveFirstEnd {
  std::string_view before;
  RegexScratch& scratch;
  std::size_t& first_end;

  Result<void> operator()(const PrependNormalizer& step) const {
    if (!before.empty()) first_end += step.text.size();
    return {};
  }
  Result<void> operator()(const ReplaceNormalizer&) const { return {}; }
  Result<void> operator()(const StripNormalizer& step) const {
    const std::size_t stripped = before.size() - strip(before, {.left = step.left, .right = false}).size();
    first_end -= std::min(first_end, stripped);
    return {};
  }
  Result<void> operator()(const PrecompiledNormalizer& step) const {
    // In `tokenizers`, the character that follows one that the map removes takes its place.
    if (first_end > 0) first_end = std::max<std::size_t>(step.map->normalize(before.substr(0, first_end)).size(), 1);
    return {};
  }
  template <typename Step>
  Result<void> operator()(const Step& step) const {
    SS_TRY(const std::string first, (Apply{before.substr(0, first_end), scratch})(step));
    first_end = first.size();
    return {};
  }
};

}  // namespace

Result<std::string> normalize(std::string_view text, const std::vector<NormalizerStep>& steps, RegexScratch& scratch,
                              std::size_t* first_end) {
  std::string current(text);
  for (const NormalizerStep& step : steps) {
    SS_TRY(std::string next, std::visit(Apply{current, scratch, first_end}, step));
    if (first_end != nullptr) {
      SS_TRY_VOID(std::visit(MoveFirstEnd{current, scratch, *first_end}, step));
      *first_end = end_of_character(next, *first_end);
    }
    if (next.size() > current.size() && !scratch.spend(next.size() - current.size())) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("normalizer: expected a text of {} bytes to grow by at most {}", text.size(),
                               scratch.steps_left())};
    }
    current = std::move(next);
  }
  return current;
}

}  // namespace secondsource::tokenizer
