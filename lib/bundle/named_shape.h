#pragma once
// Dimensions of named models, without their weights: bundles/shapes/*.yaml, built into the program.

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

struct NamedShape {
  std::string name;
  std::string source;       ///< where the dimensions come from
  std::string config_json;  ///< a config.json as Hugging Face writes it
};

/// One file of bundles/shapes. Errors: kInvalidInput.
Result<NamedShape> parse_named_shape(std::string_view text, std::string_view name);

/// The names, sorted.
[[nodiscard]] std::vector<std::string> named_shapes();

/// Errors: kInvalidInput, naming the shapes there are.
Result<NamedShape> find_named_shape(std::string_view name);

}  // namespace secondsource
