#pragma once
// JSON from files that we did not write: strict RFC 8259 with limits on size and depth and a UTF-8 check. Every failure
// is a Result. The tree is nlohmann's; include <nlohmann/json.hpp> in the .cpp file that reads it.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "core/result.h"

namespace secondsource {

struct JsonLimits {
  std::int64_t max_bytes = std::int64_t{64} << 20;
  int max_depth = 64;
  /// The number of values with the keys, and the number of line breaks and tabs. The largest vocabularies with their
  /// merges have two million.
  std::int64_t max_values = 4'000'000;
  /// RFC 8259 leaves duplicate keys undefined. Our own formats refuse them, because two readers could see two values.
  bool allow_duplicate_keys = false;
};

/// The value in `text`; errors begin with `name` ("config.json: line 3, column 7: ...").
/// Errors: kInvalidInput for text that is not strict JSON or exceeds a limit, kOutOfMemory.
Result<nlohmann::json> parse_json(std::string_view text, std::string_view name, JsonLimits limits = {});

/// Checks the text in the same way without building the tree.
Result<void> check_json(std::string_view text, std::string_view name, JsonLimits limits = {});

}  // namespace secondsource
