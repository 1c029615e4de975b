#pragma once
// The functions that a template can call by name: Jinja's range, dict, namespace and joiner, and transformers'
// raise_exception and strftime_now.

#include <string_view>
#include <utility>
#include <vector>

#include "jinja/runtime.h"
#include "jinja/value.h"

namespace secondsource::jinja {

/// `date` (YYYY-MM-DD, a valid day) is what strftime_now() takes for today.
[[nodiscard]] std::vector<std::pair<std::string_view, Value>> functions(Runtime& runtime, std::string_view date);

}  // namespace secondsource::jinja
