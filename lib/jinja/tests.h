#pragma once
// Jinja's tests: value is name(arguments).

#include <string_view>

#include "core/result.h"
#include "jinja/runtime.h"
#include "jinja/value.h"

namespace secondsource::jinja {

/// Errors: kInvalidInput, also for an unknown test.
Result<bool> apply_test(Runtime& runtime, std::string_view name, const Value& value, Arguments arguments);

/// True if there is a filter or test of that name.
[[nodiscard]] bool is_filter_name(std::string_view name);
[[nodiscard]] bool is_test_name(std::string_view name);

}  // namespace secondsource::jinja
