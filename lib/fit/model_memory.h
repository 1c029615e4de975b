#pragma once
// Bytes that a model needs in a variant, as this project's engine allocates them. They follow from the configuration
// and, for a published variant, from the block types in the model's file.

#include <cstdint>

#include "bundle/model_config.h"
#include "bundle/published_types.h"
#include "bundle/variant.h"
#include "core/dtype.h"
#include "core/result.h"

namespace secondsource {

/// The settings with which the engine is started.
struct MemoryPlan {
  DType kv_dtype = DType::kBf16;
  std::int32_t page_tokens = 16;           ///< tokens of one page of the cache
  std::int64_t max_tokens_per_step = 512;  ///< rows of the largest step
  std::int64_t max_seqs = 64;              ///< rows of logits
};

/// Weights, divided by what a step reads of them. Embeddings are looked up row by row, so they only count as memory.
struct ModelMemory {
  double weights_bytes = 0;       ///< all weights
  double read_bytes = 0;          ///< of them, what every step reads: all but embeddings and experts
  double expert_bytes = 0;        ///< of them, all experts of all layers; 0 for a dense model
  std::int64_t n_parameters = 0;  ///< a tied head counts once
  /// Parameters that multiply each token; for a mixture, the token's share of the experts.
  double n_active_parameters = 0;
  std::int64_t kv_page_bytes = 0;   ///< one page, for keys and values of all layers
  std::int64_t kv_token_bytes = 0;  ///< one token
  double workspace_bytes = 0;       ///< values of the largest step
};

/// Bytes of the model. If `published` describes this variant and has the encodings of its tensors, every matrix is
/// counted in its own encoding, or by its values if it has no codes. Otherwise every matrix is counted in the variant's
/// encoding; in a GGUF variant, the embedding as well. Norms and biases count in their own type if `published` has it,
/// otherwise in the type that the configuration names (bf16 if it names none).
/// The workspace is the most that is alive at once in a step: the residual stream, its normalized copy, and either q,
/// k, v or the hidden values of the feed-forward network, all in f32; the widest input of a product and q, k, v once
/// more in the type that is multiplied (2 bytes); or the logits of every sequence. If `published` has weights with act
/// order, the input of a second product is alive twice, and each expert of a token has its own input. The lists of such
/// orders are not counted, since they take four bytes for a whole column.
/// Errors: kUnsupported for a stored type that is not a floating-point type, and for the variant mxfp4 of a model
/// without experts.
Result<ModelMemory> model_memory(const ModelConfig& config, const Variant& variant, const MemoryPlan& plan,
                                 const PublishedTypes& published = {});

/// Bytes of one sequence's cache: whole pages.
[[nodiscard]] double sequence_kv_bytes(const ModelMemory& memory, const MemoryPlan& plan, std::int64_t n_tokens);

}  // namespace secondsource
