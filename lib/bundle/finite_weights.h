#pragma once
// Checks that a model's weights are finite as they are stored. A NaN or an infinity passes every check of sizes and
// hashes, and spoils every token that the model computes.

#include "bundle/model_config.h"
#include "bundle/tensor_store.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// Reads every tensor of the model, which check_tensors (bundle.h) has accepted, and reports progress in MiB. Errors:
/// kInvalidInput naming the first tensor and row with such a value, kIo, kInterrupted.
Result<void> check_finite_weights(const ModelConfig& config, const TensorStore& tensors, Progress& progress,
                                  const InterruptFlag& interrupt);

}  // namespace secondsource
