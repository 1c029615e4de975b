#include "jinja/evaluator.h"

#include <fmt/format.h>

#include <utility>

#include "core/overloaded.h"
#include "core/utf8.h"
#include "jinja/attributes.h"
#include "jinja/filters.h"
#include "jinja/methods.h"
#include "jinja/operators.h"
#include "jinja/python_text.h"
#include "jinja/tests.h"

namespace secondsource::jinja {

Result<Value> Evaluator::evaluate(const Expression& expression, Scope& scope) {
  const Runtime::Level level(runtime_);
  runtime_.at_line(expression.line);
  runtime_.spend();
  SS_TRY_VOID(runtime_.check());
  return std::visit(Overloaded{
                        [&](const LiteralExpr& node) -> Result<Value> { return node.value; },
                        [&](const NameExpr& node) { return name(node, scope); },
                        [&](const UnaryExpr& node) -> Result<Value> {
                          SS_TRY(const Value value, evaluate(*node.of, scope));
                          return negated(runtime_, node.op, value);
                        },
                        [&](const BinaryExpr& node) -> Result<Value> {
                          SS_TRY(const Value left, evaluate(*node.left, scope));
                          SS_TRY(const Value right, evaluate(*node.right, scope));
                          return arithmetic(runtime_, node.op, left, right);
                        },
                        [&](const LogicExpr& node) { return logic(node, scope); },
                        [&](const CompareExpr& node) { return comparison(node, scope); },
                        [&](const ConcatExpr& node) { return concatenation(node, scope); },
                        [&](const ConditionalExpr& node) { return conditional(node, scope); },
                        [&](const AttributeExpr& node) -> Result<Value> {
                          SS_TRY(const Value value, evaluate(*node.of, scope));
                          return attribute_of(runtime_, value, node.name);
                        },
                        [&](const ItemExpr& node) -> Result<Value> {
                          SS_TRY(const Value value, evaluate(*node.of, scope));
                          SS_TRY(const Value index, evaluate(*node.index, scope));
                          return item_of(runtime_, value, index);
                        },
                        [&](const SliceExpr& node) { return sliced(node, scope); },
                        [&](const CallExpr& node) { return called(node, scope, nullptr); },
                        [&](const FilterExpr& node) { return filtered(node, scope); },
                        [&](const TestExpr& node) { return tested(node, scope); },
                        [&](const ListExpr& node) -> Result<Value> {
                          SS_TRY(std::vector<Value> items, values(node.items, scope));
                          return runtime_.list(std::move(items));
                        },
                        [&](const TupleExpr& node) -> Result<Value> {
                          SS_TRY(std::vector<Value> items, values(node.items, scope));
                          return runtime_.tuple(std::move(items));
                        },
                        [&](const DictExpr& node) { return dict(node, scope); },
                    },
                    expression.node);
}

Result<Value> Evaluator::name(const NameExpr& node, const Scope& scope) {
  if (const Value* found = scope.find(node.name)) return *found;
  return runtime_.undefined(fmt::format("expected {} to be defined, found it undefined", in_quotes(node.name)));
}

Result<Value> Evaluator::logic(const LogicExpr& node, Scope& scope) {
  SS_TRY(Value left, evaluate(*node.left, scope));
  if (is_true(left) != node.is_and) return left;
  return evaluate(*node.right, scope);
}

Result<Value> Evaluator::comparison(const CompareExpr& node, Scope& scope) {
  SS_TRY(Value left, evaluate(*node.first, scope));
  for (const auto& [op, operand] : node.rest) {
    SS_TRY(Value right, evaluate(*operand, scope));
    SS_TRY(const bool holds, compare(runtime_, op, left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Evaluator::concatenation(const ConcatExpr& node, Scope& scope) {
  TextBuilder out(runtime_);
  for (const Expression* part : node.parts) {
    SS_TRY(const Value value, evaluate(*part, scope));
    add_str(out, value);
  }
  return out.text();
}

Result<Value> Evaluator::conditional(const ConditionalExpr& node, Scope& scope) {
  SS_TRY(const Value condition, evaluate(*node.condition, scope));
  if (is_true(condition)) return evaluate(*node.then, scope);
  if (node.otherwise != nullptr) return evaluate(*node.otherwise, scope);
  return runtime_.undefined("expected a value, found an inline if without else whose condition does not hold");
}

Result<Value> Evaluator::sliced(const SliceExpr& node, Scope& scope) {
  const auto bound = [&](const Expression* one) -> Result<Value> {
    return one == nullptr ? Result<Value>(None{}) : evaluate(*one, scope);
  };
  SS_TRY(const Value value, evaluate(*node.of, scope));
  SS_TRY(const Value start, bound(node.start));
  SS_TRY(const Value stop, bound(node.stop));
  SS_TRY(const Value step, bound(node.step));
  return slice(runtime_, value, start, stop, step);
}

Result<Value> Evaluator::called(const CallExpr& node, Scope& scope, const Value* caller) {
  const int line = runtime_.line();
  // A method is called directly, without creating a value for it first.
  const Method* method = nullptr;
  Value callee = None{};
  if (const auto* attribute = std::get_if<AttributeExpr>(&node.callee->node)) {
    SS_TRY(callee, evaluate(*attribute->of, scope));
    method = find_method(callee, attribute->name);
    if (method == nullptr) {
      SS_TRY(callee, attribute_of(runtime_, callee, attribute->name));
    }
  } else {
    SS_TRY(callee, evaluate(*node.callee, scope));
  }
  SS_TRY(Arguments given, arguments(node.arguments, scope));
  if (caller != nullptr) given.named.emplace_back("caller", *caller);
  runtime_.at_line(line);
  return method == nullptr ? call(callee, std::move(given)) : call_method(runtime_, *method, callee, std::move(given));
}

Result<Value> Evaluator::evaluate_call(const Expression& call_node, Scope& scope, Value caller) {
  runtime_.at_line(call_node.line);
  return called(std::get<CallExpr>(call_node.node), scope, &caller);
}

Result<Value> Evaluator::call(const Value& callee, Arguments given) {
  const Runtime::Level level(runtime_);
  SS_TRY_VOID(runtime_.check());
  if (Callable* const* callable = as<Callable*>(callee)) return (*callable)->call(runtime_, std::move(given));
  if (Loop* const* loop = as<Loop*>(callee); loop != nullptr && (*loop)->recurse) {
    return (*loop)->recurse(runtime_, std::move(given));
  }
  if (const Undefined* undefined = as<Undefined>(callee)) return undefined_error(runtime_, *undefined);
  return runtime_.fail(fmt::format("expected a function to call, found {}", type_name(callee)));
}

Result<Value> Evaluator::filtered(const FilterExpr& node, Scope& scope) {
  const int line = runtime_.line();
  Value input = None{};
  if (node.of == nullptr) {
    input = *block_text_;
  } else {
    SS_TRY(input, evaluate(*node.of, scope));
  }
  SS_TRY(Arguments given, arguments(node.arguments, scope));
  runtime_.at_line(line);
  return apply_filter(runtime_, node.name, input, std::move(given));
}

Result<Value> Evaluator::filter_block(const Expression& filters, Scope& scope, Value text) {
  const Value* outer = std::exchange(block_text_, &text);
  Result<Value> result = evaluate(filters, scope);
  block_text_ = outer;
  return result;
}

Result<Value> Evaluator::tested(const TestExpr& node, Scope& scope) {
  const int line = runtime_.line();
  SS_TRY(const Value value, evaluate(*node.of, scope));
  SS_TRY(Arguments given, arguments(node.arguments, scope));
  runtime_.at_line(line);
  SS_TRY(const bool holds, apply_test(runtime_, node.name, value, std::move(given)));
  return Value(holds);
}

Result<Value> Evaluator::dict(const DictExpr& node, Scope& scope) {
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [key_node, value_node] : node.entries) {
    SS_TRY(const Value key, evaluate(*key_node, scope));
    SS_TRY(Value value, evaluate(*value_node, scope));
    SS_TRY_VOID(set_key(runtime_, entries, key, std::move(value)));
  }
  return runtime_.dict(std::move(entries));
}

Result<std::vector<Value>> Evaluator::values(const std::vector<const Expression*>& nodes, Scope& scope) {
  std::vector<Value> result;
  result.reserve(nodes.size());
  for (const Expression* node : nodes) {
    SS_TRY(Value value, evaluate(*node, scope));
    result.push_back(std::move(value));
  }
  return result;
}

Result<Arguments> Evaluator::arguments(const CallArguments& nodes, Scope& scope) {
  Arguments result;
  SS_TRY(result.positional, values(nodes.positional, scope));
  for (const auto& [key, node] : nodes.named) {
    SS_TRY(Value value, evaluate(*node, scope));
    result.named.emplace_back(key, std::move(value));
  }
  if (nodes.more_positional != nullptr) {
    SS_TRY(const Value more, evaluate(*nodes.more_positional, scope));
    SS_TRY(const std::vector<Value> items, items_of(runtime_, more));
    result.positional.insert(result.positional.end(), items.begin(), items.end());
  }
  if (nodes.more_named != nullptr) {
    SS_TRY(const Value more, evaluate(*nodes.more_named, scope));
    const Dict* entries = as_dict(more);
    if (entries == nullptr) return runtime_.fail(fmt::format("**: expected a dict, found {}", type_name(more)));
    for (const auto& [key, value] : entries->entries) {
      if (as_text(key) == nullptr) return runtime_.fail("**: expected names as keys");
      result.named.emplace_back(*as_text(key), value);
    }
  }
  return result;
}

}  // namespace secondsource::jinja
