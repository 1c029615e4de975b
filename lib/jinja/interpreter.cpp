#include "jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "core/overloaded.h"
#include "core/utf8.h"
#include "jinja/operators.h"
#include "jinja/python_text.h"

namespace secondsource::jinja {

Result<std::string> Interpreter::run(const Syntax& syntax, Scope& scope) {
  TextBuilder out(runtime_);
  SS_TRY_VOID(carry_out(syntax.body, scope, out));
  SS_TRY_VOID(runtime_.check());
  return out.take();
}

Scope& Interpreter::scope_in(Scope& outer) {
  return *runtime_.own(std::make_unique<Scope>(&outer), 2 * sizeof(outer.names[0]));
}

Result<Interpreter::Flow> Interpreter::carry_out(const Body& body, Scope& scope, TextBuilder& out) {
  const Runtime::Level level(runtime_);
  for (const Statement* statement : body) {
    SS_TRY(const Flow flow, carry_out(*statement, scope, out));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::carry_out(const Statement& statement, Scope& scope, TextBuilder& out) {
  runtime_.at_line(statement.line);
  runtime_.spend();
  SS_TRY_VOID(runtime_.check());
  return std::visit(Overloaded{
                        [&](const TextStatement& node) -> Result<Flow> {
                          out.add(*as_text(node.text));
                          return Flow::kNext;
                        },
                        [&](const PrintStatement& node) -> Result<Flow> {
                          SS_TRY(const Value value, evaluator_.evaluate(*node.value, scope));
                          add_str(out, value);
                          return Flow::kNext;
                        },
                        [&](const IfStatement& node) { return branch(node, scope, out); },
                        [&](const ForStatement& node) { return repeat(node, scope, out); },
                        [&](const SetStatement& node) -> Result<Flow> {
                          SS_TRY(const Value value, evaluator_.evaluate(*node.value, scope));
                          SS_TRY_VOID(assign(node.target, value, scope, scope));
                          return Flow::kNext;
                        },
                        [&](const SetBlockStatement& node) { return set_block(node, scope); },
                        [&](const MacroStatement& node) -> Result<Flow> {
                          scope.set(node.name, macro(node.name, node.signature, node.body, scope));
                          return Flow::kNext;
                        },
                        [&](const CallStatement& node) { return call_block(node, scope, out); },
                        [&](const FilterStatement& node) { return filter_block(node, scope, out); },
                        [&](const WithStatement& node) { return with_block(node, scope, out); },
                        [&](const GenerationStatement& node) -> Result<Flow> {
                          SS_TRY(const Value text, text_of(node.body, scope));
                          add_str(out, text);
                          return Flow::kNext;
                        },
                        [](const BreakStatement&) -> Result<Flow> { return Flow::kBreak; },
                        [](const ContinueStatement&) -> Result<Flow> { return Flow::kContinue; },
                    },
                    statement.node);
}

Result<Interpreter::Flow> Interpreter::branch(const IfStatement& statement, Scope& scope, TextBuilder& out) {
  for (const auto& [condition, body] : statement.branches) {
    SS_TRY(const Value value, evaluator_.evaluate(*condition, scope));
    if (is_true(value)) return carry_out(body, scope, out);
  }
  return carry_out(statement.otherwise, scope, out);
}

Result<void> Interpreter::assign(const Target& target, const Value& value, Scope& scope, Scope& named_in) {
  if (target.is_tuple) {
    SS_TRY(const std::vector<Value> items, items_of(runtime_, value));
    if (items.size() != target.parts.size()) {
      return runtime_.fail(
          fmt::format("expected {} values for as many names, found {}", target.parts.size(), items.size()));
    }
    for (std::size_t i = 0; i < items.size(); ++i) SS_TRY_VOID(assign(target.parts[i], items[i], scope, named_in));
    return {};
  }
  if (target.attribute.empty()) {
    named_in.set(target.name, value);
    return {};
  }
  const Value* found = scope.find(target.name);
  Namespace* const* names = found == nullptr ? nullptr : as<Namespace*>(*found);
  if (names == nullptr) {
    return runtime_.fail(
        fmt::format("expected a namespace to set {}.{} in, found another value", target.name, target.attribute));
  }
  if (target.attribute.starts_with('_')) {
    return runtime_.fail(
        fmt::format("expected a name without an underscore in front, found {}", in_quotes(target.attribute)));
  }
  if (Value* existing = (*names)->find(target.attribute)) {
    *existing = value;
  } else {
    (*names)->attributes.emplace_back(target.attribute, value);
  }
  return {};
}

Result<std::vector<Value>> Interpreter::chosen_items(const ForStatement& statement, const Value& items, Scope& scope) {
  SS_TRY(std::vector<Value> all, items_of(runtime_, items));
  if (statement.condition == nullptr) return all;
  std::vector<Value> chosen;
  for (Value& item : all) {
    Scope& inner = scope_in(scope);
    SS_TRY_VOID(assign(statement.target, item, inner, inner));
    SS_TRY(const Value holds, evaluator_.evaluate(*statement.condition, inner));
    if (is_true(holds)) chosen.push_back(std::move(item));
  }
  return chosen;
}

Result<Interpreter::Flow> Interpreter::repeat(const ForStatement& statement, Scope& scope, TextBuilder& out) {
  SS_TRY(const Value items, evaluator_.evaluate(*statement.items, scope));
  return repeat_over(statement, items, 0, scope, out);
}

Result<Interpreter::Flow> Interpreter::repeat_over(const ForStatement& statement, const Value& items, int depth,
                                                   Scope& scope, TextBuilder& out) {
  auto owner = std::make_unique<Loop>();
  SS_TRY(owner->items, chosen_items(statement, items, scope));
  owner->depth = depth;
  if (owner->items.empty()) return carry_out(statement.otherwise, scope_in(scope), out);
  const std::size_t n_bytes = owner->items.size() * sizeof(Value);
  Loop* loop = runtime_.own(std::move(owner), n_bytes);
  if (statement.is_recursive) {
    loop->recurse = [this, &statement, &scope, depth](Runtime& runtime, Arguments arguments) -> Result<Value> {
      if (arguments.positional.size() != 1) return runtime.fail("loop(): expected one value with items");
      TextBuilder inner(runtime);
      SS_TRY_VOID(repeat_over(statement, arguments.positional[0], depth + 1, scope, inner));
      return inner.text();
    };
  }
  for (loop->index = 0; loop->index < loop->items.size(); ++loop->index) {
    Scope& inner = scope_in(scope);
    inner.set("loop", loop);
    SS_TRY_VOID(assign(statement.target, loop->items[loop->index], inner, inner));
    SS_TRY(const Flow flow, carry_out(statement.body, inner, out));
    SS_TRY_VOID(runtime_.check());
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Result<Value> Interpreter::text_of(const Body& body, Scope& outer) {
  TextBuilder out(runtime_);
  SS_TRY_VOID(carry_out(body, scope_in(outer), out));
  return out.text();
}

Result<Interpreter::Flow> Interpreter::set_block(const SetBlockStatement& statement, Scope& scope) {
  SS_TRY(Value text, text_of(statement.body, scope));
  if (statement.filter != nullptr) {
    SS_TRY(text, evaluator_.filter_block(*statement.filter, scope, std::move(text)));
  }
  SS_TRY_VOID(assign(statement.target, text, scope, scope));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::filter_block(const FilterStatement& statement, Scope& scope, TextBuilder& out) {
  SS_TRY(Value text, text_of(statement.body, scope));
  SS_TRY(const Value filtered, evaluator_.filter_block(*statement.filter, scope, std::move(text)));
  if (as_text(filtered) == nullptr) {
    return runtime_.fail(
        fmt::format("expected a filter that gives a text for {{% filter %}}, found {}", type_name(filtered)));
  }
  add_str(out, filtered);
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::with_block(const WithStatement& statement, Scope& scope, TextBuilder& out) {
  Scope& inner = scope_in(scope);
  for (const auto& [target, node] : statement.values) {
    SS_TRY(const Value value, evaluator_.evaluate(*node, scope));
    SS_TRY_VOID(assign(target, value, scope, inner));
  }
  return carry_out(statement.body, inner, out);
}

Result<Interpreter::Flow> Interpreter::call_block(const CallStatement& statement, Scope& scope, TextBuilder& out) {
  Value caller = macro("caller", statement.signature, statement.body, scope);
  SS_TRY(const Value result, evaluator_.evaluate_call(*statement.call, scope, std::move(caller)));
  add_str(out, result);
  return Flow::kNext;
}

Value Interpreter::macro(std::string name, const Signature& signature, const Body& body, Scope& scope) {
  return runtime_.callable(name, [this, name, &signature, &body, &scope](Runtime&, Arguments arguments) {
    return call_macro(name, signature, body, scope, std::move(arguments));
  });
}

Result<Value> Interpreter::call_macro(const std::string& name, const Signature& signature, const Body& body,
                                      Scope& outer, Arguments arguments) {
  Scope& scope = scope_in(outer);
  const auto take = [&](std::string_view key) -> std::optional<Value> {
    const auto found = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& entry) { return entry.first == key; });
    if (found == arguments.named.end()) return std::nullopt;
    Value value = std::move(found->second);
    arguments.named.erase(found);
    return value;
  };
  const std::size_t n_positional = std::min(arguments.positional.size(), signature.parameters.size());
  bool has_caller_parameter = false;
  for (std::size_t i = 0; i < signature.parameters.size(); ++i) {
    const Parameter& parameter = signature.parameters[i];
    has_caller_parameter = has_caller_parameter || parameter.name == "caller";
    std::optional<Value> given = i < n_positional ? std::optional(arguments.positional[i]) : take(parameter.name);
    if (!given && parameter.default_value != nullptr) {
      SS_TRY(given, evaluator_.evaluate(*parameter.default_value, scope));
    }
    if (!given) {
      given =
          runtime_.undefined(fmt::format("{}: expected the argument {}, found none", name, in_quotes(parameter.name)));
    }
    scope.set(parameter.name, *std::move(given));
  }
  if (signature.uses_caller && !has_caller_parameter) {
    const std::optional<Value> caller = take("caller");
    scope.set("caller",
              caller ? *caller : runtime_.undefined(fmt::format("{}: expected a call block, found none", name)));
  }
  if (signature.uses_kwargs) {
    std::vector<std::pair<Value, Value>> entries;
    for (auto& [key, value] : arguments.named) entries.emplace_back(runtime_.text(key), std::move(value));
    arguments.named.clear();
    scope.set("kwargs", runtime_.dict(std::move(entries)));
  }
  if (!arguments.named.empty()) {
    return runtime_.fail(fmt::format("{}: expected no argument {}", name, in_quotes(arguments.named[0].first)));
  }
  if (signature.uses_varargs) {
    const auto first = arguments.positional.begin() + static_cast<std::ptrdiff_t>(n_positional);
    scope.set("varargs", runtime_.tuple({first, arguments.positional.end()}));
  } else if (arguments.positional.size() > n_positional) {
    return runtime_.fail(fmt::format("{}: expected at most {} arguments, found {}", name, signature.parameters.size(),
                                     arguments.positional.size()));
  }
  TextBuilder out(runtime_);
  SS_TRY_VOID(carry_out(body, scope, out));
  return out.text();
}

}  // namespace secondsource::jinja
