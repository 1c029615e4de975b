#include "tokenizer/unicode.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace secondsource::tokenizer {
namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

utf8proc_category_t category_of(char32_t code_point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
}

/// The first character, or broken part of one, in a byte sequence that is not empty.
struct Front {
  std::size_t length = 0;      // bytes of the character, or of the maximal subpart of an invalid one
  bool is_valid = false;       // this is a whole character
  bool is_unfinished = false;  // the bytes end inside a character that could still become valid
};

Front classify_front(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {.length = 1, .is_valid = true};
  std::size_t length = 0;
  unsigned second_low = 0x80;
  unsigned second_high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) second_low = 0xa0;
    if (lead == 0xed) second_high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) second_low = 0x90;
    if (lead == 0xf4) second_high = 0x8f;
  } else {
    return {.length = 1};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {.length = i, .is_unfinished = true};
    const unsigned low = i == 1 ? second_low : 0x80;
    const unsigned high = i == 1 ? second_high : 0xbf;
    if (byte(i) < low || byte(i) > high) return {.length = i};
  }
  return {.length = length, .is_valid = true};
}

/// Appends what utf8proc makes of the text.
Result<void> append_mapped(std::string& result, std::string_view text, int options) {
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &mapped, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (length < 0) {
    // The text is known to be valid UTF-8, so the only possible error is memory: utf8proc needs more than four bytes
    // per character.
    return Error{ErrorCode::kOutOfMemory,
                 fmt::format("normalizing a text of {} bytes: {}", text.size(), utf8proc_errmsg(length))};
  }
  result.append(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(length));
  return {};
}

}  // namespace

Character character_at(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[offset + i])); };
  const std::size_t length = character_length(text[offset]);
  switch (length) {
    case 1:
      return {byte(0), 1};
    case 2:
      return {((byte(0) & 0x1f) << 6) | (byte(1) & 0x3f), 2};
    case 3:
      return {((byte(0) & 0x0f) << 12) | ((byte(1) & 0x3f) << 6) | (byte(2) & 0x3f), 3};
    default:
      return {((byte(0) & 0x07) << 18) | ((byte(1) & 0x3f) << 12) | ((byte(2) & 0x3f) << 6) | (byte(3) & 0x3f), 4};
  }
}

Character character_before(std::string_view text, std::size_t end) {
  std::size_t start = end - 1;
  while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xc0U) == 0x80U) --start;
  return character_at(text, start);
}

void append_character(std::string& text, char32_t code_point) {
  const auto put = [&](char32_t value) { text.push_back(static_cast<char>(static_cast<unsigned char>(value))); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    put(0xe0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3f));
    put(0x80 | (code_point & 0x3f));
  } else {
    put(0xf0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3f));
    put(0x80 | ((code_point >> 6) & 0x3f));
    put(0x80 | (code_point & 0x3f));
  }
}

std::size_t append_lossy(std::string& text, std::string_view bytes, bool is_last) {
  std::size_t offset = 0;
  while (offset < bytes.size()) {
    const Front front = classify_front(bytes.substr(offset));
    if (front.is_unfinished && !is_last) break;
    if (front.is_valid) {
      text.append(bytes.substr(offset, front.length));
    } else {
      text.append("\xef\xbf\xbd");
    }
    offset += front.length;
  }
  return offset;
}

bool is_numeric(char32_t code_point) {
  if (code_point < 0x80) return code_point >= U'0' && code_point <= U'9';
  const utf8proc_category_t category = category_of(code_point);
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

bool is_whitespace(char32_t code_point) {
  if (code_point < 0x80) return code_point == U' ' || (code_point >= 0x09 && code_point <= 0x0d);
  return code_point == 0x85 || code_point == 0xa0 || code_point == 0x1680 ||
         (code_point >= 0x2000 && code_point <= 0x200a) || code_point == 0x2028 || code_point == 0x2029 ||
         code_point == 0x202f || code_point == 0x205f || code_point == 0x3000;
}

bool is_punctuation(char32_t code_point) {
  if (code_point < 0x80) {
    return (code_point >= 0x21 && code_point <= 0x2f) || (code_point >= 0x3a && code_point <= 0x40) ||
           (code_point >= 0x5b && code_point <= 0x60) || (code_point >= 0x7b && code_point <= 0x7e);
  }
  const utf8proc_category_t category = category_of(code_point);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_word(char32_t code_point) {
  if (code_point < 0x80) {
    const char32_t lower = code_point | 0x20;
    return (lower >= U'a' && lower <= U'z') || (code_point >= U'0' && code_point <= U'9') || code_point == U'_';
  }
  if (code_point == 0x200c || code_point == 0x200d) return true;
  const utf8proc_category_t category = category_of(code_point);
  // The categories are numbered LU LT LL LM LO MN MC ME ND NL NO PC ...
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) || category == UTF8PROC_CATEGORY_PC ||
         (code_point >= 0x24b6 && code_point <= 0x24e9) ||  // letters in circles and squares are Alphabetic
         (code_point >= 0x1f130 && code_point <= 0x1f149) || (code_point >= 0x1f150 && code_point <= 0x1f169) ||
         (code_point >= 0x1f170 && code_point <= 0x1f189);
}

bool is_mark(char32_t code_point) {
  const utf8proc_category_t category = category_of(code_point);
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool is_letter(char32_t code_point) {
  const utf8proc_category_t category = category_of(code_point);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t code_point) {
  return category_of(code_point) == UTF8PROC_CATEGORY_ND;
}

bool is_upper(char32_t code_point) {
  return category_of(code_point) == UTF8PROC_CATEGORY_LU;
}

bool is_lower(char32_t code_point) {
  return category_of(code_point) == UTF8PROC_CATEGORY_LL;
}

bool is_printable(char32_t code_point) {
  if (code_point < 0x7f) return code_point >= 0x20;
  const utf8proc_category_t category = category_of(code_point);
  return category != UTF8PROC_CATEGORY_CN && category < UTF8PROC_CATEGORY_ZS;
}

std::string to_upper(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t offset = 0; offset < text.size();) {
    const Character character = character_at(text, offset);
    offset += character.length;
    if (character.code_point == 0xdf) {
      result += "SS";
    } else {
      const auto upper = utf8proc_toupper(static_cast<utf8proc_int32_t>(character.code_point));
      append_character(result, static_cast<char32_t>(upper));
    }
  }
  return result;
}

std::string to_lower(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t offset = 0; offset < text.size();) {
    const Character character = character_at(text, offset);
    offset += character.length;
    if (character.code_point == 0x130) {
      result += "i\xcc\x87";  // the only character whose lower-case form is two characters (SpecialCasing.txt)
    } else {
      const auto lower = utf8proc_tolower(static_cast<utf8proc_int32_t>(character.code_point));
      append_character(result, static_cast<char32_t>(lower));
    }
  }
  return result;
}

Result<std::string> case_folded(std::string_view text) {
  std::string result;
  SS_TRY_VOID(append_mapped(result, text, UTF8PROC_STABLE | UTF8PROC_CASEFOLD));
  return result;
}

std::string_view GraphemeFinder::next() {
  const std::size_t begin = offset_;
  Character previous = character_at(text_, offset_);
  offset_ += previous.length;
  utf8proc_int32_t state = 0;
  while (offset_ < text_.size()) {
    const Character character = character_at(text_, offset_);
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(previous.code_point),
                                         static_cast<utf8proc_int32_t>(character.code_point), &state)) {
      break;
    }
    previous = character;
    offset_ += character.length;
  }
  return text_.substr(begin, offset_ - begin);
}

Result<std::string> normalize_unicode(std::string_view text, UnicodeForm form) {
  if (text.empty() || is_ascii(text)) return std::string(text);
  int options = UTF8PROC_STABLE;
  const bool composes = form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc;
  options |= composes ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd) options |= UTF8PROC_COMPAT;
  // utf8proc takes U+11A7 for the first final consonant of Hangul, which is U+11A8, and drops it after a syllable. Since nothing
  // composes with it and it is no mark, the text before it and the text after it have their forms alone.
  constexpr std::string_view kBeforeFinalConsonants = "\xe1\x86\xa7";
  std::string result;
  while (true) {
    const std::size_t end = composes ? text.find(kBeforeFinalConsonants) : std::string_view::npos;
    SS_TRY_VOID(append_mapped(result, text.substr(0, end), options));
    if (end == std::string_view::npos) return result;
    result += kBeforeFinalConsonants;
    text.remove_prefix(end + kBeforeFinalConsonants.size());
  }
}

}  // namespace secondsource::tokenizer
