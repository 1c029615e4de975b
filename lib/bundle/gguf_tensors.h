#pragma once
// Which rows of which GGUF tensors make a tensor of the model, and in which order: llama.cpp has other names, one tensor for
// all experts of a layer, and for some architectures other rows of q and k and another form of norms.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bundle/gguf_config.h"
#include "bundle/gguf_files.h"
#include "bundle/model_config.h"
#include "bundle/model_tensors.h"
#include "bundle/published_weights.h"
#include "bundle/weight_conversion.h"
#include "core/result.h"

namespace secondsource {

/// Rows of a GGUF tensor that are consecutive in the tensor of the model.
struct GgufRows {
  const GgufWeight* weight = nullptr;
  std::int64_t first_row = 0;
  std::int64_t n_rows = 0;
  /// By which the values are multiplied: the tensor NAME.scale beside NAME.weight, as files with NVFP4 have it.
  float global_scale = 1.0F;
};

/// The change made by the conversion to GGUF, which is undone.
enum class GgufChange : std::uint8_t {
  kNone,
  kRowsInterleaved,    ///< of each head, rows of its two halves alternate
  kValuesInterleaved,  ///< the same for the values of a bias
  kOneAdded,           ///< to every value
  /// Experts are stored as rows. The model has them transposed, with the columns of gate and up alternating. A bias
  /// counts as a matrix of one column.
  kExpertsTurned,
  /// For each head of latent attention, the part that makes keys from the latent is transposed and stored apart from
  /// the part that makes values.
  kHeadKeysTurned,
};

struct GgufTensorPlan {
  TensorSpec spec;
  /// kExpertsTurned: one or two for each expert (gate, up). kHeadKeysTurned: two for each head (keys, values).
  std::vector<GgufRows> rows;
  GgufChange change = GgufChange::kNone;
};

/// The plans of all tensors of the model, in the order of model_tensors(). Scales of inputs (NAME.input_scale) are ignored. Errors:
/// kInvalidInput for a tensor that is missing or has other sizes, or a global scale that is not positive; kUnsupported, naming a tensor of
/// the file that belongs to no tensor of the model.
Result<std::vector<GgufTensorPlan>> plan_gguf_tensors(const GgufFiles& files, const GgufArchitecture& architecture,
                                                      const ModelConfig& config);

/// The form in which the codes of the planned tensor can be kept (published_weights.h), for matrices and embeddings whose rows all have the
/// same block type and global scale; otherwise nullopt. Only NVFP4 may have a global scale, and it has a form only for single matrices.
[[nodiscard]] std::optional<PublishedForm> published_form_of(const GgufTensorPlan& plan);
/// Calls `use` with the codes and scales, or with the bytes of the blocks, of each row of a planned tensor that has a published
/// form, in the order of shape_of_rows(). Errors: kIo, kInvalidInput for a scale that is no number, and those of `use`.
Result<void> for_each_gguf_coded_row(const GgufTensorPlan& plan, const ModelConfig& config, const CodedRowUser& use);

/// Calls `use` with the values of each row of the planned tensor, in order. Holds one row in memory; for kExpertsTurned
/// one expert in FP32, for kHeadKeysTurned one head. Errors: kIo and those of `use`.
Result<void> for_each_gguf_row(const GgufTensorPlan& plan, const ModelConfig& config,
                               const std::function<Result<void>(std::span<const float>)>& use);

}  // namespace secondsource
