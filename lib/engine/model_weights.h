#pragma once
// Turns the tensors of a bundle into weights that a backend has prepared, and decides which tensors are joined and in
// which encoding each is passed to the backend. Weights are prepared once per backend and variant; every Engine on that
// backend can use them.

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "bundle/model_config.h"
#include "bundle/tensor_store.h"
#include "bundle/variant.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// The expert that all tokens use, and the weight of its gate, if it has one: the sigmoid of one product.
struct SharedExpert {
  std::optional<WeightId> gate{};  ///< [1, dim]
  WeightId gate_up{};              ///< [2 shared_ffn_dim, dim], joined kInterleaveGateUp
  WeightId down{};                 ///< [dim, shared_ffn_dim]
  std::optional<WeightId>
      gate_up_bias{};  ///< [1, 2 shared_ffn_dim]: of gate, then of up; without a gate of the expert only
  std::optional<WeightId> down_bias{};  ///< [1, dim]; likewise
};

/// Multi-head latent attention, in the place of LayerWeights::qkv. Rows of q_b and kv_a are in the order of the boundary.
struct LatentWeights {
  std::optional<WeightId> q_a{};        ///< [q_rank, dim]; absent where queries come from one product
  std::optional<WeightId> q_a_bias{};   ///< [1, q_rank]
  std::optional<WeightId> q_norm{};     ///< [1, q_rank]; with q_a
  WeightId q_b{};                       ///< [n_heads * (plain_dim + rotary_dim), q_rank], or of dim inputs
  WeightId kv_a{};                      ///< [kv_rank + rotary_dim, dim]
  std::optional<WeightId> kv_a_bias{};  ///< [1, kv_rank + rotary_dim]
  WeightId kv_norm{};                   ///< [1, kv_rank]: of LatentAppend
  /// Of HeadMatmul, [kv_rank, plain_dim] per head: turns the unrotated part of a query into a query on latents.
  WeightId query_heads{};
  WeightId value_heads{};  ///< of HeadMatmul, [value_dim, kv_rank] per head: turns attended latents into outputs
};

/// Weights of one layer. Shapes are [outputs, inputs].
struct LayerWeights {
  std::optional<WeightId> attention_norm;  ///< [1, dim]; absent without norms before blocks
  /// [(n_heads + 2 n_kv_heads) * head_dim, dim]: rows of q, k, v; without the rows of k and v if these have weights of
  /// their own. They are joined only if their encodings and orders of columns are the same.
  WeightId qkv{};
  std::optional<WeightId> qkv_bias;  ///< [1, rows of qkv]
  std::optional<WeightId>
      k;  ///< [n_kv_heads * head_dim, dim]: present where k is stored in another form than q; with v
  std::optional<WeightId> k_bias;  ///< [1, n_kv_heads * head_dim]; with k
  /// [n_kv_heads * head_dim, dim]: present where q, k and v are not all stored in the same form.
  std::optional<WeightId> v;
  std::optional<WeightId> v_bias;       ///< [1, n_kv_heads * head_dim]; with v
  std::optional<LatentWeights> latent;  ///< if present, there are neither qkv nor k and v
  std::optional<WeightId> q_norm;       ///< of RopeAppend
  std::optional<WeightId> k_norm;
  std::optional<WeightId> sinks;     ///< [1, n_heads]: of Attention
  WeightId attention_out{};          ///< [dim, n_heads * head_dim]; of latent attention [dim, n_heads * value_dim]
  std::optional<WeightId> out_bias;  ///< [1, dim]
  std::optional<WeightId> ffn_norm;  ///< [1, dim]; absent without norms before blocks
  std::optional<WeightId> attention_norm_bias;  ///< [1, dim]
  std::optional<WeightId> ffn_norm_bias;
  std::optional<WeightId> post_attention_norm;  ///< [1, dim]: of what the block adds to the hidden state
  std::optional<WeightId> post_ffn_norm;
  std::optional<WeightId> router;  ///< [n_experts, dim]; absent in a layer without experts
  WeightId
      gate_up{};  ///< [2 ffn_dim, dim], joined kInterleaveGateUp; per expert where there are experts; [ffn_dim, dim] without a gate
  WeightId down{};                      ///< [dim, ffn_dim]; per expert where there are experts
  std::optional<WeightId> router_bias;  ///< [1, n_experts]
  std::optional<WeightId> choice_bias;  ///< [1, n_experts]: of Route
  std::optional<WeightId>
      gate_up_bias;                   ///< [1, 2 ffn_dim]: of gate, then of up; expert after expert where there are some
  std::optional<WeightId> down_bias;  ///< [1, dim]; likewise
  std::optional<SharedExpert> shared;  ///< beside the experts
};

/// The size of a weight as the variant stores it, whatever layout the backend chose.
struct WeightExtent {
  double bytes = 0;  ///< values and scales
  std::int64_t n_rows = 0;
  std::int64_t n_experts = 1;
  WeightEncoding encoding = WeightEncoding::kBf16;
};

struct ModelWeights {
  WeightId embedding{};  ///< [vocab_size, dim], used for lookups
  std::vector<LayerWeights> layers;
  WeightId final_norm{};  ///< [1, dim]
  std::optional<WeightId> final_norm_bias{};
  /// [vocab_size, dim]. A head that is tied to the embedding is the same weight if the variant encodes both alike;
  /// otherwise it is the same tensor, prepared a second time in the encoding of matmul weights.
  WeightId head{};
  std::map<WeightId, WeightExtent> extents{};
  /// For weights whose columns are in another order than the model's (codes with act order): column i of the weight is
  /// multiplied by input column_orders[weight][i]. If the experts of a weight have different orders, the orders of all
  /// experts follow one another.
  std::map<WeightId, std::vector<std::int32_t>> column_orders{};
  /// For weights whose publisher stores a scale of their inputs: Matmul::act_scale. For experts it is the largest of
  /// their scales, as in other runtimes, because the input of their product is quantized once for all of them.
  std::map<WeightId, float> input_scales{};
};

/// Prepares all weights of the model in the variant. Error messages begin with `name`. Errors: kInvalidInput naming a
/// tensor that is missing or whose shape contradicts the configuration; kUnsupported, before anything is prepared, if
/// the backend lacks an encoding; kInterrupted, checked before each weight; the errors of the backend.
Result<ModelWeights> prepare_model_weights(Backend& backend, const ModelConfig& config, const TensorStore& tensors,
                                           const Variant& variant, std::string_view name, Progress& progress,
                                           const InterruptFlag& interrupt);

}  // namespace secondsource
