#pragma once
// value.name and value[index] by the rules of Jinja's sandbox: an attribute of the value (a method of a text, list or
// dict, a property of loop or of a namespace), else an item; undefined if there is neither. There is no way from a value
// to anything of the host.

#include <string_view>

#include "core/result.h"
#include "jinja/runtime.h"
#include "jinja/value.h"

namespace secondsource::jinja {

/// value.name: attributes before items. Errors: kInvalidInput for an attribute of an undefined value.
Result<Value> attribute_of(Runtime& runtime, const Value& value, std::string_view name);
/// value[index]: items before attributes. Errors: as above.
Result<Value> item_of(Runtime& runtime, const Value& value, const Value& index);

}  // namespace secondsource::jinja
