#pragma once
// Python's two ways of putting values into a text: "%s of %d" % values, and "{} of {name}".format(values).

#include <string_view>

#include "core/result.h"
#include "jinja/runtime.h"
#include "jinja/value.h"

namespace secondsource::jinja {

/// format % values, where values is a tuple, a dict (for "%(name)s") or one value. Errors: kInvalidInput.
Result<Value> printf_text(Runtime& runtime, std::string_view format, const Value& values);

/// format.format(...): fields by position and name, without attributes, conversions or format specifications.
/// Errors: kInvalidInput.
Result<Value> format_text(Runtime& runtime, std::string_view format, const Arguments& arguments);

}  // namespace secondsource::jinja
