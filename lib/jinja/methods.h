#pragma once
// The methods of texts, lists and dictionaries that change nothing, as Python has them.

#include <string_view>

#include "core/result.h"
#include "jinja/bind.h"
#include "jinja/runtime.h"
#include "jinja/value.h"

namespace secondsource::jinja {

struct Method {
  std::string_view name;
  Parameters parameters;
  Result<Value> (*call)(Runtime&, const Value& self, const Bound& arguments);
};

/// nullptr if the value's type has no such method, or if it would change the value.
[[nodiscard]] const Method* find_method(const Value& value, std::string_view name);

Result<Value> call_method(Runtime& runtime, const Method& method, const Value& self, Arguments arguments);

/// For text_methods.cpp and collection_methods.cpp.
[[nodiscard]] const Method* find_text_method(std::string_view name);
[[nodiscard]] const Method* find_list_method(std::string_view name);
[[nodiscard]] const Method* find_tuple_method(std::string_view name);
[[nodiscard]] const Method* find_dict_method(std::string_view name);

}  // namespace secondsource::jinja
