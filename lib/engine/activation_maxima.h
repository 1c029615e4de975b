#pragma once
// Measures the largest magnitudes of the inputs of a model's products while it reads a text. Smoothing
// (bundle/smoothing.h) is calibrated with them.

#include <cstdint>
#include <span>

#include "bundle/model_config.h"
#include "bundle/smoothing.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/engine.h"

namespace secondsource {

/// Reads the ids in windows of `window` tokens, each a sequence of its own. The engine must observe all values
/// (EngineOptions::observe_all). `config` is that of its model, which check_can_be_smoothed() has accepted. Errors: kInvalidInput
/// for no ids, or an activation that is not finite; those of the engine; kInterrupted.
Result<ActivationMaxima> measure_activation_maxima(Engine& engine, const ModelConfig& config,
                                                   std::span<const std::int32_t> ids, std::int64_t window,
                                                   Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
