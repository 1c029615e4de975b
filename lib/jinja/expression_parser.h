#pragma once
// Reads the expressions of a template with Jinja2's precedence. The functions stand in the order of the grammar, the loosest
// binding first.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "jinja/syntax.h"
#include "jinja/token_reader.h"

namespace secondsource::jinja {

/// How a list of expressions that may be a tuple is read.
struct TupleRules {
  bool with_condition = true;         ///< "a if b" belongs to the expression
  std::string_view end_word = {};     ///< a word that ends the tuple
  bool explicit_parentheses = false;  ///< () is the empty tuple
};

class ExpressionParser : protected TokenReader {
 protected:
  using Node = const Expression*;

  ExpressionParser(std::vector<Token> tokens, std::string_view template_name)
      : TokenReader(std::move(tokens), template_name) {
    syntax_.name = template_name;
  }

  /// One expression. Without its condition, `a if b` is read as `a`, as the list of a for loop requires.
  Result<Node> expression(bool with_condition = true);
  /// Whether a tuple ends before this token.
  [[nodiscard]] bool at_tuple_end(const TupleRules& rules) const;
  /// One expression, or several with commas between them, which make a tuple.
  Result<Node> tuple(const TupleRules& rules = {});
  /// All filters of `of`, each with its bar before it.
  Result<Node> filter(Node of);
  /// One filter of `of`, from its name on.
  Result<Node> one_filter(Node of);

  /// The tree that is being built.
  [[nodiscard]] Syntax& syntax() noexcept { return syntax_; }
  /// The macros and calls whose bodies are being read: a name that is special in them is noted in their signatures.
  [[nodiscard]] std::vector<Signature*>& signatures() noexcept { return signatures_; }

 private:
  /// Adds an expression to the tree, which owns it.
  template <typename T>
  Node make(int line, T node) {
    syntax_.expressions.push_back(std::make_unique<Expression>(Expression{.line = line, .node = std::move(node)}));
    return syntax_.expressions.back().get();
  }
  Result<Node> conditional();
  Result<Node> logic_or();
  Result<Node> logic_and();
  Result<Node> logic_not();
  std::optional<CompareOperator> pass_compare();
  Result<Node> compare();
  Result<Node> sum();
  Result<Node> concatenation();
  Result<Node> product();
  Result<Node> power();
  Result<Node> unary(bool with_filter);
  Result<Node> primary();
  Node named(const Token& token);
  Result<Node> list(int line);
  Result<Node> dict(int line);
  Result<Node> postfix(Node node);
  Result<Node> filters_and_tests(Node node);
  Result<Node> subscript(Node of);
  /// An index, or a slice of `of`.
  Result<Node> subscribed(Node of);
  Result<Node> call(Node callee);
  Result<CallArguments> call_arguments();
  Result<std::string> dotted_name();
  Result<Node> test(Node of);
  [[nodiscard]] bool begins_test_argument() const;

  Syntax syntax_;
  std::vector<Signature*> signatures_;
};

}  // namespace secondsource::jinja
