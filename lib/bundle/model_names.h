#pragma once
// Renames the tensors of a checkpoint to the names that model_tensors() uses.

#include <string_view>

#include "bundle/model_config.h"
#include "bundle/tensor_store.h"
#include "core/result.h"

namespace secondsource {

/// Renames the tensors of a text part, finds out whether such a model has a head of its own (and records it in
/// `config`), and accepts a matrix that embedding and head share under either name. `folder` is for messages. Errors:
/// kInvalidInput for a tensor that is stored under two names.
Result<void> name_tensors_as_the_model(std::string_view folder, ModelConfig& config, TensorStore& tensors);

}  // namespace secondsource
