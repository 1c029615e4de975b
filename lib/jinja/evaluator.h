#pragma once
// Computes expressions in a scope.

#include "core/result.h"
#include "jinja/runtime.h"
#include "jinja/scope.h"
#include "jinja/syntax.h"

namespace secondsource::jinja {

class Evaluator {
 public:
  explicit Evaluator(Runtime& runtime) : runtime_(runtime) {}

  Result<Value> evaluate(const Expression& expression, Scope& scope);
  /// Does the same with a call, handing the body of {% call %} to it as the argument `caller`.
  Result<Value> evaluate_call(const Expression& call, Scope& scope, Value caller);
  /// Applies the filters of {% filter %} or {% set name | filter %} to the text of the block.
  Result<Value> filter_block(const Expression& filters, Scope& scope, Value text);
  /// Calls a macro, function, method or recursive loop.
  Result<Value> call(const Value& callee, Arguments arguments);

 private:
  Result<Value> name(const NameExpr& node, const Scope& scope);
  Result<Value> logic(const LogicExpr& node, Scope& scope);
  Result<Value> comparison(const CompareExpr& node, Scope& scope);
  Result<Value> concatenation(const ConcatExpr& node, Scope& scope);
  Result<Value> conditional(const ConditionalExpr& node, Scope& scope);
  Result<Value> sliced(const SliceExpr& node, Scope& scope);
  Result<Value> called(const CallExpr& node, Scope& scope, const Value* caller);
  Result<Value> filtered(const FilterExpr& node, Scope& scope);
  Result<Value> tested(const TestExpr& node, Scope& scope);
  Result<Value> dict(const DictExpr& node, Scope& scope);
  Result<std::vector<Value>> values(const std::vector<const Expression*>& nodes, Scope& scope);
  Result<Arguments> arguments(const CallArguments& nodes, Scope& scope);

  Runtime& runtime_;
  const Value* block_text_ = nullptr;  ///< input of the first filter of the innermost block
};

}  // namespace secondsource::jinja
