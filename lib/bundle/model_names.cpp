#include "bundle/model_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bundle/model_tensors.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

/// True if the checkpoint stores a head. The stored head decides, because transformers ties the embeddings of models
/// with a part for pictures by default, and published configurations do not override that. The tensors may be those of
/// a quantized weight.
bool has_stored_head(const TensorStore& tensors) {
  constexpr std::string_view kHead = "lm_head.";
  return std::ranges::any_of(tensors.tensors(), [&](const auto& entry) { return entry.first.starts_with(kHead); });
}

}  // namespace

Result<void> name_tensors_as_the_model(std::string_view folder, ModelConfig& config, TensorStore& tensors) {
  if (config.is_text_part) {
    std::vector<std::string> stored;
    for (const auto& [name, tensor] : tensors.tensors()) stored.push_back(name);
    for (const std::string& name : stored) {
      const std::string plain = name_of_stored(config, name);
      if (plain == name) continue;
      if (tensors.find(plain) != nullptr) {
        return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected it once, found it as {}, too",
                                                           folder, printable(name), printable(plain))};
      }
      tensors.rename(name, plain);
    }
    if (tensors.find(kEmbeddingTensor) != nullptr && has_stored_head(tensors)) config.tied_embeddings = false;
  }
  // Checkpoints may store the matrix that embedding and head share under either name.
  const bool has_head_alone = tensors.find(kEmbeddingTensor) == nullptr && tensors.find(kHeadTensor) != nullptr;
  if (config.tied_embeddings && has_head_alone) tensors.rename(kHeadTensor, kEmbeddingTensor);
  return {};
}

}  // namespace secondsource
