#include "jinja/attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "core/utf8.h"
#include "jinja/methods.h"
#include "jinja/operators.h"

namespace secondsource::jinja {
namespace {

/// Methods that would change a value: a template may not use them.
constexpr std::array<std::string_view, 8> kListChanges = {"append", "clear",  "pop",  "reverse",
                                                          "insert", "extend", "sort", "remove"};
constexpr std::array<std::string_view, 5> kDictChanges = {"clear", "pop", "popitem", "setdefault", "update"};

bool changes_value(const Value& value, std::string_view name) {
  const auto has = [&](const auto& names) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (as_dict(value) != nullptr) return has(kDictChanges);
  const Sequence* sequence = as_sequence(value);
  return sequence != nullptr && sequence->kind == SequenceKind::kList && has(kListChanges);
}

Result<Value> cycle(Runtime& runtime, const Loop& loop, const Arguments& arguments) {
  if (arguments.positional.empty()) return runtime.fail("loop.cycle: expected values, found none");
  return arguments.positional[loop.index % arguments.positional.size()];
}

Result<Value> changed(Runtime& runtime, Loop& loop, const Arguments& arguments) {
  const std::vector<Value>& now = arguments.positional;
  bool is_same = loop.last_changed && loop.last_changed->size() == now.size();
  for (std::size_t i = 0; is_same && i < now.size(); ++i) is_same = equal(runtime, now[i], (*loop.last_changed)[i]);
  if (!is_same) loop.last_changed = now;
  return Value(!is_same);
}

std::optional<Value> loop_attribute(Runtime& runtime, Loop& loop, std::string_view name) {
  const auto n = static_cast<std::int64_t>(loop.items.size());
  const auto index = static_cast<std::int64_t>(loop.index);
  if (name == "index") return Value(index + 1);
  if (name == "index0") return Value(index);
  if (name == "revindex") return Value(n - index);
  if (name == "revindex0") return Value(n - index - 1);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index + 1 == n);
  if (name == "length") return Value(n);
  if (name == "depth") return Value(std::int64_t{loop.depth} + 1);
  if (name == "depth0") return Value(std::int64_t{loop.depth});
  if (name == "previtem")
    return index == 0 ? runtime.undefined("there is no previous item") : loop.items[loop.index - 1];
  if (name == "nextitem")
    return index + 1 == n ? runtime.undefined("there is no next item") : loop.items[loop.index + 1];
  if (name == "cycle") {
    return runtime.callable("cycle",
                            [&loop](Runtime& at_call, Arguments arguments) { return cycle(at_call, loop, arguments); });
  }
  if (name == "changed") {
    return runtime.callable(
        "changed", [&loop](Runtime& at_call, Arguments arguments) { return changed(at_call, loop, arguments); });
  }
  return std::nullopt;
}

/// A method or property; nullopt if the value has none of that name.
std::optional<Value> own_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (const Method* method = find_method(value, name)) {
    return runtime.callable(std::string(name), [method, value](Runtime& at_call, Arguments arguments) {
      return call_method(at_call, *method, value, std::move(arguments));
    });
  }
  if (changes_value(value, name)) {
    return runtime.undefined(
        fmt::format("expected a method that changes nothing, found {}.{}", type_name(value), name));
  }
  if (Namespace* const* names = as<Namespace*>(value)) {
    const Value* found = (*names)->find(name);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  if (Loop* const* loop = as<Loop*>(value)) return loop_attribute(runtime, **loop, name);
  if (Callable* const* callable = as<Callable*>(value); callable != nullptr && name == "name") {
    return runtime.text((*callable)->name);
  }
  if (const Sequence* sequence = as_sequence(value)) {
    const auto found = std::find(sequence->attributes.begin(), sequence->attributes.end(), name);
    if (found != sequence->attributes.end())
      return sequence->items[static_cast<std::size_t>(found - sequence->attributes.begin())];
  }
  return std::nullopt;
}

Value no_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  return runtime.undefined(fmt::format("expected an attribute that is there, found none: {} has no attribute {}",
                                       type_name(value), in_quotes(name)));
}

}  // namespace

Result<Value> attribute_of(Runtime& runtime, const Value& value, std::string_view name) {
  if (const Undefined* undefined = as<Undefined>(value)) return undefined_error(runtime, *undefined);
  if (std::optional<Value> own = own_attribute(runtime, value, name)) return *std::move(own);
  if (as_dict(value) != nullptr) {
    if (std::optional<Value> item = item_at(runtime, value, Text(std::string(name)))) return *std::move(item);
  }
  return no_attribute(runtime, value, name);
}

Result<Value> item_of(Runtime& runtime, const Value& value, const Value& index) {
  if (const Undefined* undefined = as<Undefined>(value)) return undefined_error(runtime, *undefined);
  if (std::optional<Value> item = item_at(runtime, value, index)) return *std::move(item);
  const std::string* name = as_text(index);
  if (name == nullptr)
    return runtime.undefined(fmt::format("expected an item that is there, found none in a {}", type_name(value)));
  if (std::optional<Value> own = own_attribute(runtime, value, *name)) return *std::move(own);
  return no_attribute(runtime, value, *name);
}

}  // namespace secondsource::jinja
