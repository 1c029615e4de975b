#pragma once
// Describes a model in GGUF, and writes it as the files of a Hugging Face folder: config.json, generation_config.json, tokenizer.json,
// tokenizer_config.json and model.safetensors. Every weight has exactly the value that its block stands for, in the smallest of
// BF16, FP16 and FP32 that holds all values of its tensor.

#include <filesystem>
#include <string>

#include "bundle/bundle_writer.h"
#include "bundle/model_description.h"
#include "bundle/weight_conversion.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// The parts of a manifest that describe where a GGUF model came from.
struct GgufOrigin {
  std::string model_name;    ///< of the file, fit for a manifest's name
  std::string quantization;  ///< "Q4_1 (211 tensors), F32 (61)"; empty if no tensor is in blocks
};

/// Describes the model of a file by its header; the values of blocks count as FP32. Errors: kInvalidInput, kUnsupported, kIo.
Result<ModelDescription> describe_gguf_model(const std::filesystem::path& file);

/// `writer` writes into a folder that exists. Errors: kInvalidInput, kUnsupported, kIo, kInterrupted.
Result<GgufOrigin> write_gguf_model(const std::filesystem::path& file, QuantizedWeights form, BundleWriter& writer,
                                    Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
