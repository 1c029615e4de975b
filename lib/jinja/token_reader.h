#pragma once
// Reads the tokens of a template one after the other, for the parsers of expressions and of statements: what is here,
// what must be here, and how deep tags and brackets are nested.

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "jinja/lexer.h"

namespace secondsource::jinja {

class TokenReader {
 protected:
  /// `template_name` begins every error message.
  TokenReader(std::vector<Token> tokens, std::string_view template_name)
      : tokens_(std::move(tokens)), template_name_(template_name) {}

  /// Counts one level of tags or brackets as long as it lives.
  class Nesting {
   public:
    explicit Nesting(TokenReader& reader) : depth_(reader.nesting_) { ++depth_; }
    ~Nesting() { --depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    int& depth_;
  };

  /// The token that is read next, and the one after it. After the last token, kEnd is returned forever.
  [[nodiscard]] const Token& now() const { return tokens_[at_]; }
  [[nodiscard]] const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void next() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  [[nodiscard]] static bool is_word(const Token& token, std::string_view word) {
    return token.kind == TokenKind::kName && token.text == word;
  }
  [[nodiscard]] static bool is_op(const Token& token, std::string_view op) {
    return token.kind == TokenKind::kOperator && token.text == op;
  }
  [[nodiscard]] bool at_word(std::string_view word) const { return is_word(now(), word); }
  [[nodiscard]] bool at_op(std::string_view op) const { return is_op(now(), op); }
  /// Reads the word or operator if it is here, and says whether it was.
  bool pass_word(std::string_view word) {
    const bool is_here = at_word(word);
    if (is_here) next();
    return is_here;
  }
  bool pass_op(std::string_view op) {
    const bool is_here = at_op(op);
    if (is_here) next();
    return is_here;
  }
  /// An error about this line of the template.
  [[nodiscard]] Error fail_at(int line, std::string_view message) const;
  /// The error for a token that should be `what` but is something else.
  [[nodiscard]] Error expected(std::string_view what) const;
  /// Reads what must be here; anything else is an error.
  Result<void> expect_op(std::string_view op);
  Result<void> expect_word(std::string_view word);
  Result<void> expect_end(TokenKind kind, std::string_view shown_as);
  Result<std::string> name();
  /// An error if tags and brackets are nested deeper than kMaxNesting.
  Result<void> check_nesting() const;

  [[nodiscard]] const std::string& template_name() const noexcept { return template_name_; }

 private:
  std::vector<Token> tokens_;
  std::string template_name_;
  std::size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace secondsource::jinja
