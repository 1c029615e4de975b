#include "bundle/model_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bundle/model_tensors.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

/// True if the checkpoint of a model with a part for pictures stores a head, which then decides: transformers ties the embeddings of such
/// models by default, and published configurations do not override that. The tensors may be those of a quantized weight.
bool has_stored_head(const TensorStore& tensors) {
  constexpr std::string_view kHead = "lm_head.";
  return std::ranges::any_of(tensors.tensors(), [&](const auto& entry) { return entry.first.starts_with(kHead); });
}

/// True if head and embedding are both stored and differ. transformers does not tie them then, whatever the configuration says
/// (PreTrainedModel.tie_weights). Checkpoints that store the same matrix twice stay tied.
bool has_head_of_its_own(const TensorStore& tensors) {
  const StoredTensor* const head = tensors.find(kHeadTensor);
  const StoredTensor* const embedding = tensors.find(kEmbeddingTensor);
  if (head == nullptr || embedding == nullptr) return false;
  if (head->published || embedding->published) return true;
  return head->info.dtype != embedding->info.dtype || head->info.shape != embedding->info.shape ||
         !std::ranges::equal(head->bytes(), embedding->bytes());
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
  if (config.tied_embeddings && has_head_of_its_own(tensors)) config.tied_embeddings = false;
  // Checkpoints may store the matrix that embedding and head share under either name.
  const bool has_head_alone = tensors.find(kEmbeddingTensor) == nullptr && tensors.find(kHeadTensor) != nullptr;
  if (config.tied_embeddings && has_head_alone) tensors.rename(kHeadTensor, kEmbeddingTensor);
  return {};
}

}  // namespace secondsource
