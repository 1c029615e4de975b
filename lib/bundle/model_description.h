#pragma once
// What a model's files say of it before its weights are read: its configuration, and the types in which its matrices are published.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/weights.h"
#include "bundle/model_config.h"
#include "bundle/model_tensors.h"
#include "bundle/tensor_store.h"
#include "bundle/weight_conversion.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// How the publisher of a model stored its matrices.
struct PublishedTypes {
  std::string variant = {};  ///< that keeps them unchanged; empty: there is none
  /// Of each tensor with codes their encoding; every other tensor has values. nullopt: only the variant is known.
  std::optional<std::map<std::string, WeightEncoding, std::less<>>> encodings = {};
};

/// The types of what a conversion keeps of these tensors.
[[nodiscard]] PublishedTypes types_of_source(const PublishedSource& source, const std::vector<TensorSpec>& specs);
/// The types of an opened bundle.
[[nodiscard]] PublishedTypes types_of_store(const TensorStore& weights);

struct ModelDescription {
  ModelConfig config = {};
  PublishedTypes published = {};
  std::string note = {};  ///< a sentence where published weights have no variant, or not all of them; else empty
};

/// Describes a bundle, a Hugging Face folder, a config.json (a file that ends in .json), or a model in GGUF (.gguf). Where the weights of a
/// quantized checkpoint lie beside its configuration, their headers and scales are read, too. Errors: kInvalidInput, kUnsupported, kIo,
/// kInterrupted.
Result<ModelDescription> describe_model(const std::filesystem::path& path, Progress& progress,
                                        const InterruptFlag& interrupt);

}  // namespace secondsource
