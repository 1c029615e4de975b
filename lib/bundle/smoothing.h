#pragma once
// Moves what is hard to quantize from activations into weights (SmoothQuant, arXiv:2211.10438). Channel j of the input of a product
// is divided by s_j and column j of its weights multiplied by it:
//
//   s_j = 2^round(log2(max|x_j|^alpha / max|w_j|^(1 - alpha)))
//
// with maxima over the tokens of a text and over all rows of the weights, and divided by the median of all s_j of the
// product.
// The division is folded into what produces the channel: the norm before q, k and v; the norm before gate and up (of
// all experts, and of their router); the norm before a head that is not tied; the rows of v before the output
// projection, where heads that share a value share its s; the rows of up before down. A product stays unchanged if no
// power of two can be folded exactly: after norms that multiply by 1 + weight (Gemma), without a norm (OLMo 2), the
// down projections of experts and of a network without a gate, and experts that are stored by columns (gpt-oss).
// Powers of two instead of the published quotients make every product and sum of floating-point numbers the same as before, bit for
// bit: only variants in which weights or activations become integers change.

#include <filesystem>
#include <vector>

#include "bundle/bundle_writer.h"
#include "bundle/manifest.h"
#include "bundle/model_config.h"
#include "bundle/tensor_store.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// The largest magnitude of each channel of the inputs of a layer's products, over the tokens of a text.
struct LayerActivations {
  std::vector<float> qkv;            ///< [dim]
  std::vector<float> attention_out;  ///< [n_heads * head_dim]
  std::vector<float> gate_up;        ///< [dim]; of experts, too, and of a network without a gate
  std::vector<float> down;           ///< [ffn_dim]; empty of experts
};

struct ActivationMaxima {
  std::vector<LayerActivations> layers;
  std::vector<float> head;  ///< [dim]
};

/// The activations by which a bundle is smoothed, and what its manifest says about them.
struct SmoothingPlan {
  Smoothing record;
  ActivationMaxima maxima;
};

/// Checks that a model can be smoothed. Errors: kUnsupported for a model with latent attention or with a part for
/// pictures, or with a weight that is neither BF16 nor F32.
Result<void> check_can_be_smoothed(const ModelConfig& config, const TensorStore& tensors);

/// Writes the weight files of `folder` with the same names, types and shapes. check_can_be_smoothed() must have passed. Errors:
/// kInvalidInput for maxima of another model; kUnsupported for a weight whose product with a power of two its type does not hold;
/// kIo, kInterrupted.
Result<void> write_smoothed_weights(const std::filesystem::path& folder, const ModelConfig& config,
                                    const TensorStore& tensors, const SmoothingPlan& plan, BundleWriter& writer,
                                    Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
