#pragma once
// Writes a published checkpoint with quantized weights (FP8, GPTQ, AWQ, compressed-tensors, MXFP4) as the files of a plain Hugging
// Face folder. Every weight has the value that its code, scale and zero point stand for, in the smallest of BF16, FP16 and
// FP32 that holds all values of its tensor.

#include <filesystem>
#include <string>
#include <string_view>

#include "bundle/bundle_writer.h"
#include "bundle/weight_conversion.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// Whether the folder's config.json has a quantization_config. False where there is no config.json.
/// Errors: kInvalidInput, kIo.
Result<bool> has_quantized_weights(const std::filesystem::path& folder);

/// Checks that the model that a config.json describes is computed, its weights plain or quantized. `name` is that of the file.
/// Errors: kInvalidInput, kUnsupported.
Result<void> check_model_description(std::string_view config, std::string_view name);

/// Writes config.json without its quantization_config, and model.safetensors; returns what the manifest says of the source:
/// "GPTQ, 4 bits, groups of 128 (224 tensors), F16 (67)". Errors: kInvalidInput, kUnsupported, kIo, kInterrupted.
Result<std::string> write_quantized_model(const std::filesystem::path& folder, QuantizedWeights form,
                                          BundleWriter& writer, Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
