#pragma once
// Writes values as JSON, as the filter tojson of transformers does (Python's json.dumps), and reads values from JSON.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/result.h"
#include "jinja/runtime.h"
#include "jinja/value.h"

namespace secondsource::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  ///< of one level; absent: one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

/// Errors: kInvalidInput for values that JSON does not have.
Result<Value> to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

/// Objects keep the order of their keys.
[[nodiscard]] Value from_json(Runtime& runtime, const nlohmann::ordered_json& json);

}  // namespace secondsource::jinja
