#pragma once
// The dimensions of named models, without their weights. They come from bundles/shapes/*.yaml and are built into the
// program.

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

struct NamedShape {
  std::string name;
  std::string source;       ///< the source of the dimensions
  std::string config_json;  ///< a config.json as Hugging Face writes it
};

/// Parses one file of bundles/shapes. Errors: kInvalidInput.
Result<NamedShape> parse_named_shape(std::string_view text, std::string_view name);

/// The names of all built-in shapes, sorted.
[[nodiscard]] std::vector<std::string> named_shapes();

/// Returns the shape of that name. Errors: kInvalidInput, listing the names that exist.
Result<NamedShape> find_named_shape(std::string_view name);

}  // namespace secondsource
