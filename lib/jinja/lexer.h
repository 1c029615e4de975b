#pragma once
// Splits a template into tokens as Jinja2 does with trim_blocks and lstrip_blocks: text between tags without the white
// space that they remove, and the words, numbers, texts and operators within tags.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource::jinja {

enum class TokenKind : std::uint8_t {
  kData,  ///< text between tags
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kText,  ///< a literal, without quotes and escapes
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text{};  ///< of a name, text, operator or data
  std::int64_t integer = 0;
  double number = 0;
};

/// The last token is kEnd. Errors: kInvalidInput, with the line.
Result<std::vector<Token>> tokenize(std::string_view source, std::string_view template_name);

}  // namespace secondsource::jinja
