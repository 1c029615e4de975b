#pragma once
// Carries out the statements of a template.

#include <cstdint>
#include <string>

#include "core/result.h"
#include "jinja/evaluator.h"
#include "jinja/runtime.h"
#include "jinja/scope.h"
#include "jinja/syntax.h"

namespace secondsource::jinja {

class Interpreter {
 public:
  explicit Interpreter(Runtime& runtime) : runtime_(runtime), evaluator_(runtime) {}

  /// The text of the template with the names of `scope`.
  Result<std::string> run(const Syntax& syntax, Scope& scope);

 private:
  /// How a body ended.
  enum class Flow : std::uint8_t { kNext, kBreak, kContinue };

  Result<Flow> carry_out(const Body& body, Scope& scope, TextBuilder& out);
  Result<Flow> carry_out(const Statement& statement, Scope& scope, TextBuilder& out);
  Result<Flow> branch(const IfStatement& statement, Scope& scope, TextBuilder& out);
  Result<Flow> repeat(const ForStatement& statement, Scope& scope, TextBuilder& out);
  Result<Flow> repeat_over(const ForStatement& statement, const Value& items, int depth, Scope& scope,
                           TextBuilder& out);
  Result<std::vector<Value>> chosen_items(const ForStatement& statement, const Value& items, Scope& scope);
  Result<void> assign(const Target& target, const Value& value, Scope& scope, Scope& named_in);
  Result<Flow> set_block(const SetBlockStatement& statement, Scope& scope);
  Result<Flow> call_block(const CallStatement& statement, Scope& scope, TextBuilder& out);
  Result<Flow> filter_block(const FilterStatement& statement, Scope& scope, TextBuilder& out);
  Result<Flow> with_block(const WithStatement& statement, Scope& scope, TextBuilder& out);

  /// A body in a scope of its own, as a text.
  Result<Value> text_of(const Body& body, Scope& outer);
  /// What calls a macro, or the body of a call block. Signature and body must outlive it.
  Value macro(std::string name, const Signature& signature, const Body& body, Scope& scope);
  Result<Value> call_macro(const std::string& name, const Signature& signature, const Body& body, Scope& outer,
                           Arguments arguments);
  Scope& scope_in(Scope& outer);

  Runtime& runtime_;
  Evaluator evaluator_;
};

}  // namespace secondsource::jinja
