#pragma once
// The names that a part of a template has set. A for loop, a macro and the blocks of set, call, filter and with have a
// scope of their own; if has none.

#include <string_view>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace secondsource::jinja {

struct Scope : Object {
  explicit Scope(Scope* outer_scope) : outer(outer_scope) {}

  /// Sets a name in this scope. The name must live as long as the scope.
  void set(std::string_view name, Value value) {
    for (auto& [existing, old] : names) {
      if (existing != name) continue;
      old = std::move(value);
      return;
    }
    names.emplace_back(name, std::move(value));
  }

  /// The value in this scope or the nearest outer one; nullptr if no scope has the name.
  [[nodiscard]] const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
      for (const auto& [existing, value] : scope->names) {
        if (existing == name) return &value;
      }
    }
    return nullptr;
  }

  Scope* outer;
  std::vector<std::pair<std::string_view, Value>> names;
};

}  // namespace secondsource::jinja
