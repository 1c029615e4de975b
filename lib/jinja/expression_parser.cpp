#include "jinja/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/utf8.h"

namespace secondsource::jinja {

Result<ExpressionParser::Node> ExpressionParser::expression(bool with_condition) {
  const Nesting nesting(*this);
  SS_TRY_VOID(check_nesting());
  return with_condition ? conditional() : logic_or();
}

Result<ExpressionParser::Node> ExpressionParser::conditional() {
  int line = now().line;
  SS_TRY(Node result, logic_or());
  while (pass_word("if")) {
    SS_TRY(const Node condition, logic_or());
    Node otherwise = nullptr;
    if (pass_word("else")) {
      SS_TRY(otherwise, expression());
    }
    result = make(line, ConditionalExpr{condition, result, otherwise});
    line = now().line;
  }
  return result;
}

Result<ExpressionParser::Node> ExpressionParser::logic_or() {
  const int line = now().line;
  SS_TRY(Node left, logic_and());
  while (pass_word("or")) {
    SS_TRY(const Node right, logic_and());
    left = make(line, LogicExpr{false, left, right});
  }
  return left;
}

Result<ExpressionParser::Node> ExpressionParser::logic_and() {
  const int line = now().line;
  SS_TRY(Node left, logic_not());
  while (pass_word("and")) {
    SS_TRY(const Node right, logic_not());
    left = make(line, LogicExpr{true, left, right});
  }
  return left;
}

Result<ExpressionParser::Node> ExpressionParser::logic_not() {
  const int line = now().line;
  int n = 0;
  while (pass_word("not")) ++n;
  SS_TRY(Node result, compare());
  for (; n > 0; --n) result = make(line, UnaryExpr{UnaryOperator::kNot, result});
  return result;
}

std::optional<CompareOperator> ExpressionParser::pass_compare() {
  struct Entry {
    std::string_view text;
    CompareOperator op;
  };
  constexpr std::array kComparisons = {
      Entry{"==", CompareOperator::kEqual},  Entry{"!=", CompareOperator::kNotEqual},
      Entry{"<", CompareOperator::kLess},    Entry{"<=", CompareOperator::kLessEqual},
      Entry{">", CompareOperator::kGreater}, Entry{">=", CompareOperator::kGreaterEqual}};
  for (const Entry& entry : kComparisons) {
    if (pass_op(entry.text)) return entry.op;
  }
  if (pass_word("in")) return CompareOperator::kIn;
  if (at_word("not") && is_word(ahead(), "in")) {
    next();
    next();
    return CompareOperator::kNotIn;
  }
  return std::nullopt;
}

Result<ExpressionParser::Node> ExpressionParser::compare() {
  const int line = now().line;
  SS_TRY(const Node first, sum());
  CompareExpr comparison{.first = first, .rest = {}};
  while (const std::optional<CompareOperator> op = pass_compare()) {
    SS_TRY(const Node operand, sum());
    comparison.rest.emplace_back(*op, operand);
  }
  return comparison.rest.empty() ? first : make(line, std::move(comparison));
}

Result<ExpressionParser::Node> ExpressionParser::sum() {
  const int line = now().line;
  SS_TRY(Node left, concatenation());
  while (at_op("+") || at_op("-")) {
    const BinaryOperator op = at_op("+") ? BinaryOperator::kAdd : BinaryOperator::kSubtract;
    next();
    SS_TRY(const Node right, concatenation());
    left = make(line, BinaryExpr{op, left, right});
  }
  return left;
}

Result<ExpressionParser::Node> ExpressionParser::concatenation() {
  const int line = now().line;
  ConcatExpr result;
  do {
    SS_TRY(const Node part, product());
    result.parts.push_back(part);
  } while (pass_op("~"));
  return result.parts.size() == 1 ? result.parts[0] : make(line, std::move(result));
}

Result<ExpressionParser::Node> ExpressionParser::product() {
  const int line = now().line;
  SS_TRY(Node left, power());
  while (true) {
    BinaryOperator op = BinaryOperator::kMultiply;
    if (at_op("/")) {
      op = BinaryOperator::kDivide;
    } else if (at_op("//")) {
      op = BinaryOperator::kFloorDivide;
    } else if (at_op("%")) {
      op = BinaryOperator::kModulo;
    } else if (!at_op("*")) {
      return left;
    }
    next();
    SS_TRY(const Node right, power());
    left = make(line, BinaryExpr{op, left, right});
  }
}

Result<ExpressionParser::Node> ExpressionParser::power() {
  const int line = now().line;
  SS_TRY(Node left, unary(true));
  while (pass_op("**")) {
    SS_TRY(const Node right, unary(true));
    left = make(line, BinaryExpr{BinaryOperator::kPower, left, right});
  }
  return left;
}

Result<ExpressionParser::Node> ExpressionParser::unary(bool with_filter) {
  const Nesting nesting(*this);
  SS_TRY_VOID(check_nesting());
  const int line = now().line;
  Node result = nullptr;
  if (at_op("-") || at_op("+")) {
    const UnaryOperator op = at_op("-") ? UnaryOperator::kMinus : UnaryOperator::kPlus;
    next();
    SS_TRY(const Node operand, unary(false));
    result = make(line, UnaryExpr{op, operand});
  } else {
    SS_TRY(result, primary());
  }
  SS_TRY(result, postfix(result));
  if (!with_filter) return result;
  return filters_and_tests(result);
}

Result<ExpressionParser::Node> ExpressionParser::primary() {
  const Token token = now();
  switch (token.kind) {
    case TokenKind::kName:
      next();
      return named(token);
    case TokenKind::kText: {
      std::string text;
      for (; now().kind == TokenKind::kText; next()) text += now().text;
      return make(token.line, LiteralExpr{Text(std::move(text))});
    }
    case TokenKind::kInteger:
      next();
      return make(token.line, LiteralExpr{token.integer});
    case TokenKind::kFloat:
      next();
      return make(token.line, LiteralExpr{token.number});
    default:
      break;
  }
  if (pass_op("(")) {
    SS_TRY(const Node result, tuple({.explicit_parentheses = true}));
    SS_TRY_VOID(expect_op(")"));
    return result;
  }
  if (pass_op("[")) return list(token.line);
  if (pass_op("{")) return dict(token.line);
  return expected("an expression");
}

ExpressionParser::Node ExpressionParser::named(const Token& token) {
  const std::string& word = token.text;
  if (word == "true" || word == "True") return make(token.line, LiteralExpr{true});
  if (word == "false" || word == "False") return make(token.line, LiteralExpr{false});
  if (word == "none" || word == "None") return make(token.line, LiteralExpr{None{}});
  for (Signature* signature : signatures_) {
    signature->uses_caller = signature->uses_caller || word == "caller";
    signature->uses_varargs = signature->uses_varargs || word == "varargs";
    signature->uses_kwargs = signature->uses_kwargs || word == "kwargs";
  }
  return make(token.line, NameExpr{word});
}

bool ExpressionParser::at_tuple_end(const TupleRules& rules) const {
  return now().kind == TokenKind::kVariableEnd || now().kind == TokenKind::kBlockEnd || at_op(")") ||
         (!rules.end_word.empty() && at_word(rules.end_word));
}

Result<ExpressionParser::Node> ExpressionParser::tuple(const TupleRules& rules) {
  const int line = now().line;
  TupleExpr result;
  bool is_tuple = false;
  while (!at_tuple_end(rules)) {
    SS_TRY(const Node item, expression(rules.with_condition));
    result.items.push_back(item);
    if (!pass_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !result.items.empty()) return result.items[0];
  if (!is_tuple && !rules.explicit_parentheses) return expected("an expression");
  return make(line, std::move(result));
}

Result<ExpressionParser::Node> ExpressionParser::list(int line) {
  ListExpr result;
  while (!at_op("]")) {
    if (!result.items.empty()) SS_TRY_VOID(expect_op(","));
    if (at_op("]")) break;
    SS_TRY(const Node item, expression());
    result.items.push_back(item);
  }
  next();
  return make(line, std::move(result));
}

Result<ExpressionParser::Node> ExpressionParser::dict(int line) {
  DictExpr result;
  while (!at_op("}")) {
    if (!result.entries.empty()) SS_TRY_VOID(expect_op(","));
    if (at_op("}")) break;
    SS_TRY(const Node key, expression());
    SS_TRY_VOID(expect_op(":"));
    SS_TRY(const Node value, expression());
    result.entries.emplace_back(key, value);
  }
  next();
  return make(line, std::move(result));
}

Result<ExpressionParser::Node> ExpressionParser::postfix(Node node) {
  while (true) {
    if (at_op(".") || at_op("[")) {
      SS_TRY(node, subscript(node));
    } else if (at_op("(")) {
      SS_TRY(node, call(node));
    } else {
      return node;
    }
  }
}

Result<ExpressionParser::Node> ExpressionParser::filters_and_tests(Node node) {
  while (true) {
    if (at_op("|")) {
      SS_TRY(node, filter(node));
    } else if (at_word("is")) {
      SS_TRY(node, test(node));
    } else if (at_op("(")) {
      SS_TRY(node, call(node));
    } else {
      return node;
    }
  }
}

Result<ExpressionParser::Node> ExpressionParser::subscript(Node of) {
  const int line = now().line;
  if (pass_op(".")) {
    if (now().kind == TokenKind::kInteger) {
      const Node index = make(line, LiteralExpr{now().integer});
      next();
      return make(line, ItemExpr{of, index});
    }
    SS_TRY(std::string attribute, name());
    return make(line, AttributeExpr{of, std::move(attribute)});
  }
  next();
  std::vector<Node> items;
  while (!at_op("]")) {
    if (!items.empty()) SS_TRY_VOID(expect_op(","));
    SS_TRY(const Node item, subscribed(of));
    items.push_back(item);
  }
  next();
  if (items.empty()) return fail_at(line, "expected an index in [], found none");
  if (items.size() > 1) return make(line, ItemExpr{of, make(line, TupleExpr{std::move(items)})});
  if (std::holds_alternative<SliceExpr>(items[0]->node) && std::get<SliceExpr>(items[0]->node).of == of) {
    return items[0];
  }
  return make(line, ItemExpr{of, items[0]});
}

Result<ExpressionParser::Node> ExpressionParser::subscribed(Node of) {
  const int line = now().line;
  SliceExpr slice{.of = of, .start = nullptr, .stop = nullptr, .step = nullptr};
  if (!at_op(":")) {
    SS_TRY(slice.start, expression());
    if (!at_op(":")) return slice.start;
  }
  next();
  if (!at_op(":") && !at_op("]") && !at_op(",")) {
    SS_TRY(slice.stop, expression());
  }
  if (pass_op(":") && !at_op("]") && !at_op(",")) {
    SS_TRY(slice.step, expression());
  }
  return make(line, slice);
}

Result<ExpressionParser::Node> ExpressionParser::call(Node callee) {
  const int line = now().line;
  SS_TRY(CallArguments arguments, call_arguments());
  return make(line, CallExpr{callee, std::move(arguments)});
}

Result<CallArguments> ExpressionParser::call_arguments() {
  const int line = now().line;
  SS_TRY_VOID(expect_op("("));
  CallArguments result;
  bool needs_comma = false;
  while (!at_op(")")) {
    if (needs_comma) {
      SS_TRY_VOID(expect_op(","));
      if (at_op(")")) break;
    }
    needs_comma = true;
    const bool has_named = !result.named.empty() || result.more_named != nullptr;
    const bool is_named = now().kind == TokenKind::kName && is_op(ahead(), "=");
    if (at_op("*") && result.more_positional == nullptr && result.more_named == nullptr) {
      next();
      SS_TRY(result.more_positional, expression());
    } else if (at_op("**") && result.more_named == nullptr) {
      next();
      SS_TRY(result.more_named, expression());
    } else if (is_named && result.more_named == nullptr) {
      std::string key = now().text;
      next();
      next();
      SS_TRY(const Node value, expression());
      const auto same = [&](const auto& entry) { return entry.first == key; };
      if (std::any_of(result.named.begin(), result.named.end(), same)) {
        return fail_at(line, fmt::format("expected the argument {} once, found it twice", in_quotes(key)));
      }
      result.named.emplace_back(std::move(key), value);
    } else if (!is_named && !has_named && result.more_positional == nullptr) {
      SS_TRY(const Node value, expression());
      result.positional.push_back(value);
    } else {
      return fail_at(line, "expected the arguments of a call in the order values, *values, names, **values");
    }
  }
  next();
  return result;
}

Result<std::string> ExpressionParser::dotted_name() {
  SS_TRY(std::string result, name());
  while (pass_op(".")) {
    SS_TRY(const std::string part, name());
    result.append(".").append(part);
  }
  return result;
}

Result<ExpressionParser::Node> ExpressionParser::filter(Node of) {
  Node result = of;
  while (pass_op("|")) {
    SS_TRY(result, one_filter(result));
  }
  return result;
}

Result<ExpressionParser::Node> ExpressionParser::one_filter(Node of) {
  const int line = now().line;
  SS_TRY(std::string filter_name, dotted_name());
  CallArguments arguments;
  if (at_op("(")) {
    SS_TRY(arguments, call_arguments());
  }
  return make(line, FilterExpr{of, std::move(filter_name), std::move(arguments)});
}

Result<ExpressionParser::Node> ExpressionParser::test(Node of) {
  const int line = now().line;
  next();
  const bool is_negated = pass_word("not");
  SS_TRY(std::string test_name, dotted_name());
  CallArguments arguments;
  if (at_op("(")) {
    SS_TRY(arguments, call_arguments());
  } else if (begins_test_argument()) {
    if (at_word("is")) return expected("one test");
    SS_TRY(Node argument, primary());
    SS_TRY(argument, postfix(argument));
    arguments.positional.push_back(argument);
  }
  const Node result = make(line, TestExpr{of, std::move(test_name), std::move(arguments)});
  return is_negated ? make(line, UnaryExpr{UnaryOperator::kNot, result}) : result;
}

bool ExpressionParser::begins_test_argument() const {
  switch (now().kind) {
    case TokenKind::kName:
      return !at_word("else") && !at_word("or") && !at_word("and");
    case TokenKind::kText:
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return true;
    default:
      return at_op("[") || at_op("{");
  }
}

}  // namespace secondsource::jinja
