#pragma once
// The brief as JSON, and its published schema (reports/schemas/brief.schema.json), from one list of fields.

#include <string>

#include "brief/brief.h"

namespace secondsource {

[[nodiscard]] std::string to_json(const Brief& brief);

/// JSON Schema, draft 2020-12.
[[nodiscard]] std::string brief_schema();

}  // namespace secondsource
