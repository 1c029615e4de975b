#pragma once
// Describes a published checkpoint with quantized weights (FP8, GPTQ, AWQ, compressed-tensors, MXFP4), and writes it as the files of a
// plain Hugging Face folder. Every weight has the value that its code, scale and zero point stand for, in the smallest of BF16, FP16 and
// FP32 that holds all values of its tensor.

#include <filesystem>
#include <string>
#include <string_view>

#include "bundle/bundle_writer.h"
#include "bundle/model_description.h"
#include "bundle/weight_conversion.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// The file in which ModelOpt describes its quantization apart from config.json.
inline constexpr std::string_view kModeloptConfigFile = "hf_quant_config.json";

/// Whether the folder's config.json has a quantization_config, or ModelOpt's file is beside it. False without a
/// config.json. Errors: kInvalidInput, also if weights are codes and neither file says of which kind; kIo.
Result<bool> has_quantized_weights(const std::filesystem::path& folder);

/// Describes a model from the text of its config.json alone, whether its weights are quantized or not. `name` is that
/// of the file. Errors: kInvalidInput; kUnsupported for a model that is not computed.
Result<ModelDescription> describe_checkpoint(std::string_view config, std::string_view name);
/// Describes a model from a folder's config.json and ModelOpt's file. Errors: as above, and kIo.
Result<ModelDescription> describe_checkpoint_files(const std::filesystem::path& folder);
/// As above; if the folder has quantized weights, the description has the types of all tensors. A note says if weights
/// cannot be read. Errors: as above, kInvalidInput for codes of which no file says of which kind they are, and
/// kInterrupted.
Result<ModelDescription> describe_checkpoint_folder(const std::filesystem::path& folder,
                                                    const InterruptFlag& interrupt);

/// Writes config.json without its quantization_config, and model.safetensors; returns what the manifest says of the source:
/// "GPTQ, 4 bits, groups of 128 (224 tensors), F16 (67)". Errors: kInvalidInput, kUnsupported, kIo, kInterrupted.
Result<std::string> write_quantized_model(const std::filesystem::path& folder, QuantizedWeights form,
                                          BundleWriter& writer, Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
