// The methods of lists, tuples and dictionaries that change nothing.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "jinja/methods.h"
#include "jinja/operators.h"

namespace secondsource::jinja {
namespace collection_method {
namespace {

Result<Value> copy_list(Runtime& runtime, const Value& self, const Bound&) {
  return runtime.list(as_sequence(self)->items);
}

Result<Value> index(Runtime& runtime, const Value& self, const Bound& arguments) {
  const std::vector<Value>& items = as_sequence(self)->items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (equal(runtime, items[i], arguments[0])) return Value(static_cast<std::int64_t>(i));
  }
  return runtime.fail("index: expected a value that is in the list, found another");
}

Result<Value> count(Runtime& runtime, const Value& self, const Bound& arguments) {
  const std::vector<Value>& items = as_sequence(self)->items;
  return Value(static_cast<std::int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& item) { return equal(runtime, item, arguments[0]); })));
}

Result<Value> get(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY_VOID(check_key(runtime, arguments[0]));
  const Value* found = find_key(runtime, *as_dict(self), arguments[0]);
  return found == nullptr ? arguments.value_or(1, None{}) : *found;
}

template <bool with_keys, bool with_values>
Result<Value> view(Runtime& runtime, const Value& self, const Bound&) {
  std::vector<Value> items;
  for (const auto& [key, value] : as_dict(self)->entries) {
    items.push_back(with_keys && with_values ? runtime.tuple({key, value}) : with_keys ? key : value);
  }
  return runtime.sequence(SequenceKind::kView, std::move(items));
}

Result<Value> copy_dict(Runtime& runtime, const Value& self, const Bound&) {
  return runtime.dict(as_dict(self)->entries);
}

constexpr std::array<std::string_view, 1> kValue = {"value"};
constexpr std::array<std::string_view, 2> kGet = {"key", "default"};
constexpr Parameters kNone{.names = {}};

constexpr std::array kTupleMethods = {
    Method{"index", {.names = kValue, .n_required = 1}, index},
    Method{"count", {.names = kValue, .n_required = 1}, count},
};
constexpr Method kCopyList{"copy", kNone, copy_list};
constexpr std::array kDictMethods = {
    Method{"get", {.names = kGet, .n_required = 1}, get},
    Method{"keys", kNone, view<true, false>},
    Method{"values", kNone, view<false, true>},
    Method{"items", kNone, view<true, true>},
    Method{"copy", kNone, copy_dict},
};

template <std::size_t n>
const Method* find_in(const std::array<Method, n>& methods, std::string_view name) {
  const auto* found = std::find_if(methods.begin(), methods.end(), [&](const Method& one) { return one.name == name; });
  return found == methods.end() ? nullptr : found;
}

}  // namespace
}  // namespace collection_method

const Method* find_list_method(std::string_view name) {
  return name == collection_method::kCopyList.name ? &collection_method::kCopyList : find_tuple_method(name);
}

const Method* find_tuple_method(std::string_view name) {
  return collection_method::find_in(collection_method::kTupleMethods, name);
}

const Method* find_dict_method(std::string_view name) {
  return collection_method::find_in(collection_method::kDictMethods, name);
}

const Method* find_method(const Value& value, std::string_view name) {
  if (as_text(value) != nullptr) return find_text_method(name);
  if (as_dict(value) != nullptr) return find_dict_method(name);
  const Sequence* sequence = as_indexed(value);
  if (sequence == nullptr) return nullptr;
  return sequence->kind == SequenceKind::kList ? find_list_method(name) : find_tuple_method(name);
}

Result<Value> call_method(Runtime& runtime, const Method& method, const Value& self, Arguments arguments) {
  SS_TRY(const Bound bound, bind_arguments(runtime, method.name, method.parameters, std::move(arguments)));
  return method.call(runtime, self, bound);
}

}  // namespace secondsource::jinja
