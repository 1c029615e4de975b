#pragma once

#include <filesystem>

#include "bundle/model_description.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// Describes a bundle, a Hugging Face folder, a configuration (a file that ends in .json), or a model in GGUF (.gguf).
/// For a file called config.json, ModelOpt's file beside it is read as well. If the folder of a quantized checkpoint
/// has the weights, their headers, scales and zero points are read. Errors: kInvalidInput, kUnsupported, kIo,
/// kInterrupted.
Result<ModelDescription> describe_model(const std::filesystem::path& path, Progress& progress,
                                        const InterruptFlag& interrupt);

}  // namespace secondsource
