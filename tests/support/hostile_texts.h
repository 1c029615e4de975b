#pragma once
// Texts that a bundle, a run or a price list may contain and that no writer may output unchanged, and a check of what was
// written. The check uses byte sequences from the Unicode Standard and ECMA-48, independently of the tables of core/utf8.cpp.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/fields.h"

namespace secondsource::test {

inline const std::vector<std::string>& hostile_texts() {
  static const std::vector<std::string> kTexts = {
      "\x1b]0;owned\x07",                       // OSC: sets the title of the terminal
      "\x1b[2J\x1b[1;1H",                       // CSI: clears the screen
      "\x9b[31m",                               // a C1 byte that is not UTF-8
      "\xc2\x9b[31m\xc2\x90",                   // C1 controls as UTF-8
      "passed\rFAILED",                         // a carriage return overwrites the line
      "a\b\b\x7f",                              // backspaces, delete
      "line\xe2\x80\xa8separator\xe2\x80\xa9",  // U+2028, U+2029
      "\xe2\x80\xae"
      "desrever\xe2\x81\xa6\xe2\x81\xa9",              // bidirectional override and isolates
      "\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c\xef\xbb\xbf",  // direction marks, byte order mark
      "two\nsecondsource: all tokens proven right",    // forges a line of its own
      "tab\tand\vfeed\f",
      "=HYPERLINK(\"http://evil.example\")",
      "+1+cmd|' /C calc'!A0",
      "-2+3",
      "@SUM(A1:A9)",
      "\t=1+1",
      "<script>alert(1)</script><img src=x onerror=y>&lt;",
      "]]> --> \" ' `code` |cell| [link](javascript:x) **bold**",
      "see https://evil.example and www.evil.example, write a@evil.example, ask @team",
      "\xff\xfe broken \xf0\x9f",
      std::string("zero\0byte", 9),
      std::string(100'000, 'x'),
  };
  return kTexts;
}

/// The first control sequence in `text`, that is, bytes on which a terminal, an editor or a browser would act; nullopt if
/// there is none. Newlines are allowed.
inline std::optional<std::string> acting_sequence(std::string_view text) {
  static constexpr std::array<std::string_view, 17> kSequences = {
      "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaa", "\xe2\x80\xab", "\xe2\x80\xac", "\xe2\x80\xad",
      "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa7", "\xe2\x81\xa8", "\xe2\x81\xa9", "\xe2\x80\x8e",
      "\xe2\x80\x8f", "\xd8\x9c",     "\xef\xbb\xbf", "\xff",         "\xf0\x9f "};
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n') || byte == 0x7f) return "byte " + std::to_string(byte);
  }
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {  // U+0080 to U+009F
    const auto second = static_cast<unsigned char>(text[i + 1]);
    if (text[i] == '\xc2' && second >= 0x80 && second < 0xa0) return "C1 control " + std::to_string(second);
  }
  for (const std::string_view sequence : kSequences) {
    if (text.find(sequence) != std::string_view::npos) return "sequence at " + std::to_string(text.find(sequence));
  }
  return std::nullopt;
}

/// Sets every text in a record to `text`, wherever it is.
template <typename T>
void fill_texts(T& value, const std::string& text) {
  if constexpr (std::is_same_v<T, std::string>) {
    value = text;
  } else if constexpr (HasFields<T>) {
    visit_fields([&](const char*, auto& field) { fill_texts(field, text); }, value);
  } else if constexpr (requires { value.first; }) {
    fill_texts(value.second, text);
  } else if constexpr (requires {
                         value.has_value();
                         *value;
                       }) {
    if (value) fill_texts(*value, text);
  } else if constexpr (requires { value.begin(); }) {
    for (auto& element : value) fill_texts(element, text);
  }
}

}  // namespace secondsource::test
