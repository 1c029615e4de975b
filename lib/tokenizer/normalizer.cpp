#include "tokenizer/normalizer.h"

#include <fmt/format.h>

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

  Result<std::string> operator()(const UnicodeNormalizer& step) const { return normalize_unicode(text, step.form); }
  Result<std::string> operator()(const PrependNormalizer& step) const {
    if (text.empty()) return std::string();
    std::string result = step.text;
    result.append(text);
    return result;
  }
  Result<std::string> operator()(const ReplaceNormalizer& step) const {
    return replace_all(text, step.pattern, step.content, scratch);
  }
  Result<std::string> operator()(const LowercaseNormalizer&) const { return to_lower(text); }
  Result<std::string> operator()(const StripAccentsNormalizer&) const { return without_marks(text); }
  Result<std::string> operator()(const StripNormalizer& step) const { return strip(text, step); }
  Result<std::string> operator()(const PrecompiledNormalizer& step) const { return step.map->normalize(text); }
  Result<std::string> operator()(const NmtNormalizer&) const { return normalize_nmt(text); }
};

}  // namespace

Result<std::string> normalize(std::string_view text, const std::vector<NormalizerStep>& steps, RegexScratch& scratch) {
  std::string current(text);
  for (const NormalizerStep& step : steps) {
    SS_TRY(std::string next, std::visit(Apply{current, scratch}, step));
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
