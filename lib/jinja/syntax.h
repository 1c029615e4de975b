#pragma once
// The syntax tree of a template. Nodes belong to the Syntax of their template and point to each other.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/value.h"

namespace secondsource::jinja {

struct Expression;
struct Statement;
using Body = std::vector<const Statement*>;

enum class UnaryOperator : std::uint8_t { kMinus, kPlus, kNot };
enum class BinaryOperator : std::uint8_t { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class CompareOperator : std::uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

struct CallArguments {
  std::vector<const Expression*> positional{};
  std::vector<std::pair<std::string, const Expression*>> named{};
  const Expression* more_positional = nullptr;  ///< *values
  const Expression* more_named = nullptr;       ///< **values
};

struct LiteralExpr {
  Value value;
};
struct NameExpr {
  std::string name;
};
struct UnaryExpr {
  UnaryOperator op;
  const Expression* of;
};
struct BinaryExpr {
  BinaryOperator op;
  const Expression* left;
  const Expression* right;
};
struct LogicExpr {
  bool is_and;
  const Expression* left;
  const Expression* right;
};
struct CompareExpr {
  const Expression* first;
  std::vector<std::pair<CompareOperator, const Expression*>> rest;
};
struct ConcatExpr {
  std::vector<const Expression*> parts;
};
struct ConditionalExpr {
  const Expression* condition;
  const Expression* then;
  const Expression* otherwise;  ///< nullptr without else
};
struct AttributeExpr {
  const Expression* of;
  std::string name;
};
struct ItemExpr {
  const Expression* of;
  const Expression* index;
};
/// `of` is nullptr for a slice that is not an index (x[1:2, 3]), whose use is always an error.
struct SliceExpr {
  const Expression* of;
  const Expression* start;
  const Expression* stop;
  const Expression* step;
};
struct CallExpr {
  const Expression* callee;
  CallArguments arguments;
};
/// `of` is nullptr for the first filter of a block, whose input is the block's text.
struct FilterExpr {
  const Expression* of;
  std::string name;
  CallArguments arguments;
};
struct TestExpr {
  const Expression* of;
  std::string name;
  CallArguments arguments;
};
struct ListExpr {
  std::vector<const Expression*> items;
};
struct TupleExpr {
  std::vector<const Expression*> items;
};
struct DictExpr {
  std::vector<std::pair<const Expression*, const Expression*>> entries;
};

struct Expression {
  int line = 1;
  std::variant<LiteralExpr, NameExpr, UnaryExpr, BinaryExpr, LogicExpr, CompareExpr, ConcatExpr, ConditionalExpr,
               AttributeExpr, ItemExpr, SliceExpr, CallExpr, FilterExpr, TestExpr, ListExpr, TupleExpr, DictExpr>
      node;
};

/// What an assignment gives a value to: a name, an attribute of a namespace, or several of them.
struct Target {
  std::string name{};
  std::string attribute{};      ///< of the namespace `name`; empty for a name
  std::vector<Target> parts{};  ///< if this is not empty, the value is taken apart
  bool is_tuple = false;
};

struct Parameter {
  std::string name;
  const Expression* default_value;  ///< nullptr without one
};
struct Signature {
  std::vector<Parameter> parameters{};
  bool uses_caller = false;  ///< the body names `caller`, and likewise below
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

struct TextStatement {
  Value text;
};
struct PrintStatement {
  const Expression* value;
};
struct IfStatement {
  std::vector<std::pair<const Expression*, Body>> branches;
  Body otherwise;
};
struct ForStatement {
  Target target;
  const Expression* items;
  const Expression* condition;  ///< nullptr without one
  bool is_recursive;
  Body body;
  Body otherwise;
};
struct SetStatement {
  Target target;
  const Expression* value;
};
struct SetBlockStatement {
  Target target;
  const Expression* filter;  ///< nullptr without one
  Body body;
};
struct MacroStatement {
  std::string name;
  Signature signature;
  Body body;
};
struct CallStatement {
  Signature signature;
  const Expression* call;
  Body body;
};
struct FilterStatement {
  const Expression* filter;
  Body body;
};
struct WithStatement {
  std::vector<std::pair<Target, const Expression*>> values;
  Body body;
};
/// {% generation %}, which marks the answer for training: its text is written like any other.
struct GenerationStatement {
  Body body;
};
struct BreakStatement {};
struct ContinueStatement {};

struct Statement {
  int line = 1;
  std::variant<TextStatement, PrintStatement, IfStatement, ForStatement, SetStatement, SetBlockStatement,
               MacroStatement, CallStatement, FilterStatement, WithStatement, GenerationStatement, BreakStatement,
               ContinueStatement>
      node;
};

/// The tree of a template.
struct Syntax {
  std::string name;  ///< for messages
  std::vector<std::unique_ptr<Expression>> expressions;
  std::vector<std::unique_ptr<Statement>> statements;
  Body body;
};

}  // namespace secondsource::jinja
