#include "jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <memory>
#include <utility>

#include "core/utf8.h"
#include "jinja/expression_parser.h"
#include "jinja/lexer.h"
#include "jinja/limits.h"

namespace secondsource::jinja {
namespace {

/// Reads the texts, outputs and tags of a template.
class StatementParser : private ExpressionParser {
 public:
  StatementParser(std::vector<Token> tokens, std::string_view template_name)
      : ExpressionParser(std::move(tokens), template_name) {}

  Result<Syntax> run() {
    SS_TRY(syntax().body, body_until({}));
    return std::move(syntax());
  }

 private:
  /// Adds a statement to the tree, which owns it.
  template <typename T>
  const Statement* statement(int line, T node) {
    syntax().statements.push_back(std::make_unique<Statement>(Statement{.line = line, .node = std::move(node)}));
    return syntax().statements.back().get();
  }

  /// Reads up to a tag with one of these names, which stays the current token; without names up to the end.
  Result<Body> body_until(std::initializer_list<std::string_view> ends) {
    const Nesting nesting(*this);
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
                   fmt::format("{}: line {}: expected a template in one text, found the tag {}", template_name(), line,
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
      const Nesting nesting(*this);
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
    signatures().push_back(&signature);
    const int outer_loops = std::exchange(n_loops_, 0);
    Result<Body> body = whole_body(end);
    n_loops_ = outer_loops;
    signatures().pop_back();
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

  int n_loops_ = 0;  ///< loops around the tag that is being read, within its macro
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
  return StatementParser(std::move(tokens), template_name).run();
}

}  // namespace secondsource::jinja
