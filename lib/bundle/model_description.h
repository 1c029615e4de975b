#pragma once
// What a model's files say of it before its weights are read.

#include <string>
#include <vector>

#include "bundle/model_config.h"
#include "bundle/published_types.h"

namespace secondsource {

struct ModelDescription {
  ModelConfig config = {};
  PublishedTypes published = {};
  /// Sentences on what has no variant, on activations that runtimes quantize, and on weights that could not be looked at.
  std::vector<std::string> notes = {};
};

}  // namespace secondsource
