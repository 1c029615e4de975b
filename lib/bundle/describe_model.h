#pragma once

#include <filesystem>

#include "bundle/model_description.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// Describes a bundle, a Hugging Face folder, a config.json (any file that ends in .json; beside one of that name ModelOpt's is
/// read, too), or a model in GGUF (.gguf). Where the weights of a
/// quantized checkpoint lie beside its configuration, their headers, scales and zero points are looked at. Errors: kInvalidInput,
/// kUnsupported, kIo, kInterrupted.
Result<ModelDescription> describe_model(const std::filesystem::path& path, Progress& progress,
                                        const InterruptFlag& interrupt);

}  // namespace secondsource
