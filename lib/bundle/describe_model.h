#pragma once

#include <filesystem>

#include "bundle/model_description.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// Describes a bundle, a Hugging Face folder, a configuration (a file that ends in .json; beside one that is called config.json ModelOpt's file
/// is read, too), or a model in GGUF (.gguf). Where the weights of a quantized checkpoint lie in its folder, their headers, scales and zero
/// points are looked at. Errors: kInvalidInput, kUnsupported, kIo, kInterrupted.
Result<ModelDescription> describe_model(const std::filesystem::path& path, Progress& progress,
                                        const InterruptFlag& interrupt);

}  // namespace secondsource
