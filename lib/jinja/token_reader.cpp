#include "jinja/token_reader.h"

#include "core/utf8.h"
#include "jinja/limits.h"

namespace secondsource::jinja {
namespace {

/// The token as a message names it.
std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "text";
    case TokenKind::kVariableBegin:
      return "{{";
    case TokenKind::kVariableEnd:
      return "}}";
    case TokenKind::kBlockBegin:
      return "{%";
    case TokenKind::kBlockEnd:
      return "%}";
    case TokenKind::kName:
    case TokenKind::kOperator:
      return in_quotes(token.text);
    case TokenKind::kText:
      return fmt::format("the text {}", in_quotes(token.text));
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return "a number";
    case TokenKind::kEnd:
      return "the end of the template";
  }
  return "";
}

}  // namespace

Error TokenReader::fail_at(int line, std::string_view message) const {
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: line {}: {}", template_name_, line, message)};
}

Error TokenReader::expected(std::string_view what) const {
  return fail_at(now().line, fmt::format("expected {}, found {}", what, describe(now())));
}

Result<void> TokenReader::expect_op(std::string_view op) {
  if (!pass_op(op)) return expected(fmt::format("'{}'", op));
  return {};
}

Result<void> TokenReader::expect_word(std::string_view word) {
  if (!pass_word(word)) return expected(word);
  return {};
}

Result<void> TokenReader::expect_end(TokenKind kind, std::string_view shown_as) {
  if (now().kind != kind) return expected(shown_as);
  next();
  return {};
}

Result<std::string> TokenReader::name() {
  if (now().kind != TokenKind::kName) return expected("a name");
  std::string text = now().text;
  next();
  return text;
}

Result<void> TokenReader::check_nesting() const {
  if (nesting_ <= kMaxNesting) return {};
  return fail_at(now().line, fmt::format("expected at most {} tags and {} brackets inside one another", kMaxNesting,
                                         kMaxNesting / 2));
}

}  // namespace secondsource::jinja
