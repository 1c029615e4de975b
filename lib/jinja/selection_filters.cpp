// Filters that apply a test, another filter or an attribute to a value or its items.
#include <fmt/format.h>

#include <array>

#include "core/utf8.h"
#include "jinja/attributes.h"
#include "jinja/filters.h"
#include "jinja/operators.h"
#include "jinja/tests.h"

namespace secondsource::jinja {
namespace selection_filter {
namespace {

Result<Value> default_value(Runtime& runtime, const Value& input, const Bound& arguments) {
  const bool is_missing = is_undefined(input) || (arguments.truth_or(1, false) && !is_true(input));
  return is_missing ? arguments.value_or(0, runtime.text("")) : input;
}

/// Attributes alone, no items.
Result<Value> attr(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const std::string name, arguments.text_or(runtime, 0, ""));
  if (as_dict(input) != nullptr) {
    const std::vector<std::pair<Value, Value>> nothing;
    return attribute_of(runtime, runtime.dict(nothing), name);
  }
  return attribute_of(runtime, input, name);
}

Arguments without_first(const Arguments& arguments, std::ptrdiff_t n) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(), rest.positional.begin() + n);
  return rest;
}

Result<Value> map(Runtime& runtime, const Value& input, const Bound& arguments) {
  if (!is_true(input)) return runtime.iterator({});  // also for None and 0, as in Jinja2
  SS_TRY(const std::vector<Value> items, items_of(runtime, input));
  const Arguments& given = arguments.more();
  std::vector<Value> result;
  if (given.positional.empty()) {
    static constexpr std::array<std::string_view, 2> kNames = {"attribute", "default"};
    SS_TRY(const Bound named, bind_arguments(runtime, "map", {.names = kNames, .n_required = 1}, given));
    for (const Value& item : items) {
      SS_TRY(Value value, at_path(runtime, item, named[0], named.value_or(1, None{})));
      result.push_back(std::move(value));
    }
    return runtime.iterator(std::move(result));
  }
  const std::string* name = as_text(given.positional[0]);
  if (name == nullptr) return runtime.fail("map: expected the name of a filter or an attribute");
  for (const Value& item : items) {
    SS_TRY_VOID(runtime.check());
    SS_TRY(Value value, apply_filter(runtime, *name, item, without_first(given, 1)));
    result.push_back(std::move(value));
  }
  return runtime.iterator(std::move(result));
}

/// select, reject, selectattr and rejectattr: the items for which a test (by default: is it true?) holds or does not.
template <bool by_attribute, bool wanted>
Result<Value> choose(Runtime& runtime, const Value& input, const Bound& arguments) {
  if (!is_true(input)) return runtime.iterator({});  // also for None and 0, as in Jinja2
  SS_TRY(const std::vector<Value> items, items_of(runtime, input));
  const Arguments& given = arguments.more();
  constexpr std::size_t kTestAt = by_attribute ? 1 : 0;
  if (given.positional.size() < kTestAt)
    return runtime.fail("selectattr, rejectattr: expected the name of an attribute");
  const std::string* test = nullptr;
  if (given.positional.size() > kTestAt) {
    test = as_text(given.positional[kTestAt]);
    if (test == nullptr) return runtime.fail("select, reject: expected the name of a test");
  }
  std::vector<Value> result;
  for (const Value& item : items) {
    SS_TRY_VOID(runtime.check());
    SS_TRY(const Value value, by_attribute ? at_path(runtime, item, given.positional[0]) : Result<Value>(item));
    bool holds = is_true(value);
    if (test != nullptr) {
      SS_TRY(holds, apply_test(runtime, *test, value, without_first(given, static_cast<std::ptrdiff_t>(kTestAt) + 1)));
    }
    if (holds == wanted) result.push_back(item);
  }
  return runtime.iterator(std::move(result));
}

using Names = std::string_view;
constexpr Parameters kAny{.names = {}, .takes_more = true};
constexpr std::array<Names, 2> kDefault = {"default_value", "boolean"};
constexpr std::array<Names, 1> kName = {"name"};

constexpr std::array kFilters = {
    Filter{"default", {.names = kDefault}, default_value},
    Filter{"d", {.names = kDefault}, default_value},
    Filter{"attr", {.names = kName, .n_required = 1}, attr},
    Filter{"map", kAny, map},
    Filter{"select", kAny, choose<false, true>},
    Filter{"reject", kAny, choose<false, false>},
    Filter{"selectattr", kAny, choose<true, true>},
    Filter{"rejectattr", kAny, choose<true, false>},
};

}  // namespace
}  // namespace selection_filter

std::span<const Filter> selection_filters() {
  return selection_filter::kFilters;
}

}  // namespace secondsource::jinja
