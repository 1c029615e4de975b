#include "jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>

#include "core/utf8.h"
#include "jinja/lexer.h"
#include "jinja/limits.h"

namespace secondsource::jinja {
namespace {

using Node = const Expression*;

/// How the parser reads a list of expressions that may be a tuple.
struct TupleRules {
  bool with_condition = true;         ///< "a if b" belongs to the expression
  std::string_view end_word = {};     ///< a word that ends the tuple
  bool explicit_parentheses = false;  ///< () is the empty tuple
};

class Parser {
 public:
  Parser(std::vector<Token> tokens, std::string_view name) : tokens_(std::move(tokens)) { syntax_.name = name; }

  Result<Syntax> run() {
    SS_TRY(syntax_.body, body_until({}));
    return std::move(syntax_);
  }

 private:
  /// One level of tags or brackets while it lives.
  class Nesting {
   public:
    explicit Nesting(int& depth) : depth_(depth) { ++depth_; }
    ~Nesting() { --depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    int& depth_;
  };

  // ---- tokens

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

  [[nodiscard]] static std::string describe(const Token& token) {
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

  [[nodiscard]] Error fail_at(int line, std::string_view message) const {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: line {}: {}", syntax_.name, line, message)};
  }
  [[nodiscard]] Error expected(std::string_view what) const {
    return fail_at(now().line, fmt::format("expected {}, found {}", what, describe(now())));
  }
  Result<void> expect_op(std::string_view op) {
    if (!pass_op(op)) return expected(fmt::format("'{}'", op));
    return {};
  }
  Result<void> expect_word(std::string_view word) {
    if (!pass_word(word)) return expected(word);
    return {};
  }
  Result<void> expect_end(TokenKind kind, std::string_view shown_as) {
    if (now().kind != kind) return expected(shown_as);
    next();
    return {};
  }
  Result<std::string> name() {
    if (now().kind != TokenKind::kName) return expected("a name");
    std::string text = now().text;
    next();
    return text;
  }
  Result<void> check_nesting() const {
    if (nesting_ <= kMaxNesting) return {};
    return fail_at(now().line, fmt::format("expected at most {} tags and {} brackets inside one another", kMaxNesting,
                                           kMaxNesting / 2));
  }

  // ---- nodes

  template <typename T>
  Node make(int line, T node) {
    syntax_.expressions.push_back(std::make_unique<Expression>(Expression{.line = line, .node = std::move(node)}));
    return syntax_.expressions.back().get();
  }
  template <typename T>
  const Statement* statement(int line, T node) {
    syntax_.statements.push_back(std::make_unique<Statement>(Statement{.line = line, .node = std::move(node)}));
    return syntax_.statements.back().get();
  }

  // ---- expressions, loosest binding first

  Result<Node> expression(bool with_condition = true) {
    const Nesting nesting(nesting_);
    SS_TRY_VOID(check_nesting());
    return with_condition ? conditional() : logic_or();
  }

  Result<Node> conditional() {
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

  Result<Node> logic_or() {
    const int line = now().line;
    SS_TRY(Node left, logic_and());
    while (pass_word("or")) {
      SS_TRY(const Node right, logic_and());
      left = make(line, LogicExpr{false, left, right});
    }
    return left;
  }

  Result<Node> logic_and() {
    const int line = now().line;
    SS_TRY(Node left, logic_not());
    while (pass_word("and")) {
      SS_TRY(const Node right, logic_not());
      left = make(line, LogicExpr{true, left, right});
    }
    return left;
  }

  Result<Node> logic_not() {
    const int line = now().line;
    int n = 0;
    while (pass_word("not")) ++n;
    SS_TRY(Node result, compare());
    for (; n > 0; --n) result = make(line, UnaryExpr{UnaryOperator::kNot, result});
    return result;
  }

  std::optional<CompareOperator> pass_compare() {
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

  Result<Node> compare() {
    const int line = now().line;
    SS_TRY(const Node first, sum());
    CompareExpr comparison{.first = first, .rest = {}};
    while (const std::optional<CompareOperator> op = pass_compare()) {
      SS_TRY(const Node operand, sum());
      comparison.rest.emplace_back(*op, operand);
    }
    return comparison.rest.empty() ? first : make(line, std::move(comparison));
  }

  Result<Node> sum() {
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

  Result<Node> concatenation() {
    const int line = now().line;
    ConcatExpr result;
    do {
      SS_TRY(const Node part, product());
      result.parts.push_back(part);
    } while (pass_op("~"));
    return result.parts.size() == 1 ? result.parts[0] : make(line, std::move(result));
  }

  Result<Node> product() {
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

  Result<Node> power() {
    const int line = now().line;
    SS_TRY(Node left, unary(true));
    while (pass_op("**")) {
      SS_TRY(const Node right, unary(true));
      left = make(line, BinaryExpr{BinaryOperator::kPower, left, right});
    }
    return left;
  }

  Result<Node> unary(bool with_filter) {
    const Nesting nesting(nesting_);
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

  Result<Node> primary() {
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

  Node named(const Token& token) {
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

  [[nodiscard]] bool at_tuple_end(const TupleRules& rules) const {
    return now().kind == TokenKind::kVariableEnd || now().kind == TokenKind::kBlockEnd || at_op(")") ||
           (!rules.end_word.empty() && at_word(rules.end_word));
  }

  Result<Node> tuple(const TupleRules& rules = {}) {
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

  Result<Node> list(int line) {
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

  Result<Node> dict(int line) {
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

  Result<Node> postfix(Node node) {
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

  Result<Node> filters_and_tests(Node node) {
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

  Result<Node> subscript(Node of) {
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

  /// An index, or a slice of `of`.
  Result<Node> subscribed(Node of) {
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

  Result<Node> call(Node callee) {
    const int line = now().line;
    SS_TRY(CallArguments arguments, call_arguments());
    return make(line, CallExpr{callee, std::move(arguments)});
  }

  Result<CallArguments> call_arguments() {
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

  Result<std::string> dotted_name() {
    SS_TRY(std::string result, name());
    while (pass_op(".")) {
      SS_TRY(const std::string part, name());
      result.append(".").append(part);
    }
    return result;
  }

  Result<Node> filter(Node of) {
    Node result = of;
    while (pass_op("|")) {
      SS_TRY(result, one_filter(result));
    }
    return result;
  }

  Result<Node> one_filter(Node of) {
    const int line = now().line;
    SS_TRY(std::string filter_name, dotted_name());
    CallArguments arguments;
    if (at_op("(")) {
      SS_TRY(arguments, call_arguments());
    }
    return make(line, FilterExpr{of, std::move(filter_name), std::move(arguments)});
  }

  Result<Node> test(Node of) {
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

  [[nodiscard]] bool begins_test_argument() const {
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

  // ---- statements

  /// Reads up to a tag with one of these names, which stays the current token; without names up to the end.
  Result<Body> body_until(std::initializer_list<std::string_view> ends) {
    const Nesting nesting(nesting_);
    SS_TRY_VOID(check_nesting());
    Body body;
    while (true) {
      const int line = now().line;
      switch (now().kind) {
        case TokenKind::kData:
          body.push_back(statement(line, TextStatement{Text(now().text)}));
          next();
          break;
        case TokenKind::kVariableBegin: {
          next();
          SS_TRY(const Node value, tuple());
          SS_TRY_VOID(expect_end(TokenKind::kVariableEnd, "}}"));
          body.push_back(statement(line, PrintStatement{value}));
          break;
        }
        case TokenKind::kBlockBegin: {
          next();
          const auto is_here = [&](std::string_view end) { return at_word(end); };
          if (std::any_of(ends.begin(), ends.end(), is_here)) return body;
          SS_TRY_VOID(add_statement(ends, body));
          SS_TRY_VOID(expect_end(TokenKind::kBlockEnd, "%}"));
          break;
        }
        default:
          if (ends.size() == 0) return body;
          return expected(fmt::format("{{% {} %}}", *(ends.end() - 1)));
      }
    }
  }

  /// The body of a tag, from the end of the tag on.
  Result<Body> block_body(std::initializer_list<std::string_view> ends) {
    pass_op(":");
    SS_TRY_VOID(expect_end(TokenKind::kBlockEnd, "%}"));
    return body_until(ends);
  }

  /// The same with one end, which is passed.
  Result<Body> whole_body(std::string_view end) {
    SS_TRY(Body body, block_body({end}));
    next();
    return body;
  }

  Result<void> add_statement(std::initializer_list<std::string_view> ends, Body& body) {
    const Token token = now();
    if (token.kind != TokenKind::kName) return expected("the name of a tag");
    next();
    const std::string& tag = token.text;
    if (tag == "print") return add_prints(token.line, body);
    Result<const Statement*> result = read_statement(tag, token.line);
    if (!result) return std::move(result).error();
    if (*result == nullptr) {
      const std::string open = ends.size() == 0 ? "" : fmt::format(" (or {{% {} %}})", *(ends.end() - 1));
      return fail_at(token.line, fmt::format("expected a known tag{}, found {}", open, in_quotes(tag)));
    }
    body.push_back(*result);
    return {};
  }

  /// nullptr for an unknown tag.
  Result<const Statement*> read_statement(const std::string& tag, int line) {
    if (tag == "if") return read_if(line);
    if (tag == "for") return read_for(line);
    if (tag == "set") return read_set(line);
    if (tag == "macro") return read_macro(line);
    if (tag == "call") return read_call(line);
    if (tag == "filter") return read_filter(line);
    if (tag == "with") return read_with(line);
    if (tag == "generation") {
      SS_TRY(Body body, whole_body("endgeneration"));
      return statement(line, GenerationStatement{std::move(body)});
    }
    if (tag == "break" || tag == "continue") {
      if (n_loops_ == 0) return fail_at(line, fmt::format("expected {} in a for loop, found it outside", tag));
      return tag == "break" ? statement(line, BreakStatement{}) : statement(line, ContinueStatement{});
    }
    constexpr std::array<std::string_view, 6> kRefused = {"include", "import", "from",
                                                          "extends", "block",  "autoescape"};
    if (std::find(kRefused.begin(), kRefused.end(), tag) != kRefused.end()) {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("{}: line {}: expected a template in one text, found the tag {}", syntax_.name, line,
                               in_quotes(tag))};
    }
    return nullptr;
  }

  Result<void> add_prints(int line, Body& body) {
    for (bool is_first = true; now().kind != TokenKind::kBlockEnd; is_first = false) {
      if (!is_first) SS_TRY_VOID(expect_op(","));
      SS_TRY(const Node value, expression());
      body.push_back(statement(line, PrintStatement{value}));
    }
    return {};
  }

  Result<const Statement*> read_if(int line) {
    IfStatement result;
    while (true) {
      SS_TRY(const Node condition, tuple({.with_condition = false}));
      SS_TRY(Body body, block_body({"elif", "else", "endif"}));
      result.branches.emplace_back(condition, std::move(body));
      if (pass_word("elif")) continue;
      if (pass_word("else")) {
        SS_TRY(result.otherwise, whole_body("endif"));
      } else {
        next();
      }
      return statement(line, std::move(result));
    }
  }

  Result<const Statement*> read_for(int line) {
    SS_TRY(Target target, assign_target("in"));
    SS_TRY_VOID(expect_word("in"));
    SS_TRY(const Node items, tuple({.with_condition = false, .end_word = "recursive"}));
    Node condition = nullptr;
    if (pass_word("if")) {
      SS_TRY(condition, expression());
    }
    const bool is_recursive = pass_word("recursive");
    ++n_loops_;
    Result<Body> body = block_body({"endfor", "else"});
    --n_loops_;
    if (!body) return std::move(body).error();
    Body otherwise;
    if (pass_word("else")) {
      SS_TRY(otherwise, whole_body("endfor"));
    } else {
      next();
    }
    return statement(
        line, ForStatement{std::move(target), items, condition, is_recursive, *std::move(body), std::move(otherwise)});
  }

  Result<const Statement*> read_set(int line) {
    SS_TRY(Target target, assign_target({}));
    if (pass_op("=")) {
      SS_TRY(const Node value, tuple());
      return statement(line, SetStatement{std::move(target), value});
    }
    SS_TRY(const Node filtered, filter(nullptr));
    SS_TRY(Body body, whole_body("endset"));
    return statement(line, SetBlockStatement{std::move(target), filtered, std::move(body)});
  }

  Result<Target> one_target() {
    const bool is_parenthesis = pass_op("(");
    if (is_parenthesis) {
      const Nesting nesting(nesting_);
      SS_TRY_VOID(check_nesting());
      SS_TRY(Target inner, assign_target({}));
      SS_TRY_VOID(expect_op(")"));
      return inner;
    }
    const int line = now().line;
    Target target;
    SS_TRY(target.name, name());
    constexpr std::array<std::string_view, 6> kConstants = {"true", "false", "none", "True", "False", "None"};
    if (std::find(kConstants.begin(), kConstants.end(), target.name) != kConstants.end()) {
      return fail_at(line, fmt::format("expected a name to set, found {}", in_quotes(target.name)));
    }
    if (pass_op(".")) {
      SS_TRY(target.attribute, name());
    }
    return target;
  }

  Result<Target> assign_target(std::string_view end_word) {
    const TupleRules rules{.end_word = end_word};
    Target several{.is_tuple = true};
    bool has_comma = false;
    while (!at_tuple_end(rules)) {
      SS_TRY(Target one, one_target());
      several.parts.push_back(std::move(one));
      if (!pass_op(",")) break;
      has_comma = true;
    }
    if (several.parts.empty()) return expected("a name");
    if (!has_comma) return std::move(several.parts[0]);
    return several;
  }

  Result<void> read_signature(Signature& signature) {
    SS_TRY_VOID(expect_op("("));
    while (!at_op(")")) {
      if (!signature.parameters.empty()) SS_TRY_VOID(expect_op(","));
      const int line = now().line;
      Parameter parameter{.name = {}, .default_value = nullptr};
      SS_TRY(parameter.name, name());
      if (pass_op("=")) {
        SS_TRY(parameter.default_value, expression());
      } else if (!signature.parameters.empty() && signature.parameters.back().default_value != nullptr) {
        return fail_at(line,
                       fmt::format("expected a default for the parameter {}, as the one before it has one, found none",
                                   in_quotes(parameter.name)));
      }
      signature.parameters.push_back(std::move(parameter));
    }
    next();
    return {};
  }

  /// The body of a macro or call, whose special names go into the signature.
  Result<Body> callable_body(Signature& signature, std::string_view end) {
    signatures_.push_back(&signature);
    const int outer_loops = std::exchange(n_loops_, 0);
    Result<Body> body = whole_body(end);
    n_loops_ = outer_loops;
    signatures_.pop_back();
    return body;
  }

  Result<const Statement*> read_macro(int line) {
    MacroStatement result;
    SS_TRY(result.name, name());
    SS_TRY_VOID(read_signature(result.signature));
    SS_TRY(result.body, callable_body(result.signature, "endmacro"));
    return statement(line, std::move(result));
  }

  Result<const Statement*> read_call(int line) {
    CallStatement result;
    result.call = nullptr;
    if (at_op("(")) SS_TRY_VOID(read_signature(result.signature));
    SS_TRY(result.call, expression());
    if (!std::holds_alternative<CallExpr>(result.call->node)) {
      return fail_at(line, "expected the call of a macro after {% call, found another expression");
    }
    SS_TRY(result.body, callable_body(result.signature, "endcall"));
    return statement(line, std::move(result));
  }

  Result<const Statement*> read_filter(int line) {
    SS_TRY(Node chain, one_filter(nullptr));
    SS_TRY(chain, filter(chain));
    SS_TRY(Body body, whole_body("endfilter"));
    return statement(line, FilterStatement{chain, std::move(body)});
  }

  Result<const Statement*> read_with(int line) {
    WithStatement result;
    while (now().kind != TokenKind::kBlockEnd) {
      if (!result.values.empty()) SS_TRY_VOID(expect_op(","));
      SS_TRY(Target target, one_target());
      SS_TRY_VOID(expect_op("="));
      SS_TRY(const Node value, expression());
      result.values.emplace_back(std::move(target), value);
    }
    SS_TRY(result.body, whole_body("endwith"));
    return statement(line, std::move(result));
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int nesting_ = 0;
  int n_loops_ = 0;
  std::vector<Signature*> signatures_;  ///< of the macros and calls that are being read
  Syntax syntax_;
};

}  // namespace

Result<Syntax> parse(std::string_view source, std::string_view template_name) {
  if (static_cast<std::int64_t>(source.size()) > kMaxTemplateBytes) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected a template of at most {} MiB, found {} bytes",
                                                       template_name, kMaxTemplateBytes >> 20, source.size())};
  }
  if (const auto offset = find_invalid_utf8(source)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected UTF-8, found another byte at offset {}", template_name, *offset)};
  }
  SS_TRY(std::vector<Token> tokens, tokenize(source, template_name));
  return Parser(std::move(tokens), template_name).run();
}

}  // namespace secondsource::jinja
