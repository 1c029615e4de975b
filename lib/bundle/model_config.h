#pragma once
// Reads and checks a model's config.json as Hugging Face writes it, and gives its contents this project's names. An
// absent key has the value that its class has in transformers (config_class.h). It reads Llama and the classes that differ
// from it in listed ways; every other architecture is refused by its name, and so is every option that would change the
// arithmetic in a way that is not implemented.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/rope.h"
#include "core/result.h"

namespace secondsource {

/// The largest token id that a file may name: ids are 32-bit integers.
inline constexpr std::int64_t kMaxTokenId = (std::int64_t{1} << 31) - 1;
/// Bytes of a config.json.
inline constexpr std::int64_t kMaxConfigBytes = std::int64_t{1} << 20;

enum class Architecture : std::uint8_t {
  kLlama,
  kMistral,
  kQwen2,
  kQwen3,
  kMixtral,
  kQwen3Moe,
  kQwen2Moe,
  kGranite,
  kSmolLm3,
  kSeedOss,
  kErnie45,
  kPhi3,
  kGemma,
  kGemma2,
  kGemma3,
  kOlmo2,
  kGraniteMoe,
  kMistral3,
  kGptOss,
  kCohere,
  kCohere2,
  kStarcoder2,
  kDeepseekV2,
  kDeepseekV3,
  kMinistral3,
  kGemma3Pictures,
};

/// "llama", "qwen3_moe", ...: transformers' model_type, and the `family` of a manifest.
[[nodiscard]] std::string_view to_string(Architecture architecture);

/// The activation function of the gated feed-forward network: act(gate) * up.
enum class Activation : std::uint8_t {
  kSilu,
  kGeluTanh,       ///< gelu_pytorch_tanh
  kClampedSwiGlu,  ///< of clamped gate and up, of which the latter gets 1 more (gpt-oss; backend/op.h)
};

/// Which two elements of a head a rotary embedding rotates together, if r elements are rotated.
enum class RotaryPairs : std::uint8_t {
  kHalves,      ///< i and i + r/2
  kNeighbours,  ///< 2i and 2i + 1
};

/// Whether q and k are normalized before the rotation, and how.
enum class QkNorm : std::uint8_t {
  kNone,
  kEachHead,          ///< an RMS norm of each head, all with the same weights (Qwen3)
  kAllHeads,          ///< an RMS norm of all heads of q together, and one of all of k (OLMo 2)
  kEachHeadCentered,  ///< a LayerNorm of each head, with weights of its own (Command R+)
};

/// How a mixture judges a group of its experts (op.h).
enum class GroupRule : std::uint8_t { kLargest, kSumOfTwo };

/// Multi-head latent attention (DeepSeek): a token has one latent, from which the keys and values of all heads follow by a
/// matrix of each head. What is cached is the latent and the rotated part of the keys, which all heads share.
struct LatentAttention {
  std::int64_t q_rank = 0;   ///< q_lora_rank: queries come from a normalized latent of this width; 0: from one product
  std::int64_t kv_rank = 0;  ///< kv_lora_rank: the width of the latent; 0: the model has no latent attention
  std::int64_t plain_dim = 0;  ///< qk_nope_head_dim: elements of a head of q and k that are not rotated, the first ones
  std::int64_t rotary_dim = 0;  ///< qk_rope_head_dim: those that are, behind them
  std::int64_t value_dim = 0;   ///< v_head_dim
  [[nodiscard]] bool is_present() const noexcept { return kv_rank > 0; }
  [[nodiscard]] std::int64_t qk_dim() const noexcept { return plain_dim + rotary_dim; }
};

/// Where a block has an RMS norm.
enum class BlockNorms : std::uint8_t {
  kBefore,
  kBeforeAndAfter,  ///< what it adds to the hidden state is normalized, too (Gemma 2 and 3)
  kAfter,           ///< only that is (OLMo 2)
};

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  std::int64_t dim = 0;         ///< hidden_size
  std::int64_t ffn_dim = 0;     ///< intermediate_size: of a feed-forward network without experts
  std::int64_t n_layers = 0;    ///< num_hidden_layers
  std::int64_t n_heads = 0;     ///< num_attention_heads
  std::int64_t n_kv_heads = 0;  ///< num_key_value_heads, a divisor of n_heads; with latent attention 1
  std::int64_t head_dim = 0;    ///< even; with latent attention what is cached of a token: kv_rank + rotary_dim
  LatentAttention latent;
  std::int64_t vocab_size = 0;
  std::int64_t max_seq_len = 0;  ///< max_position_embeddings
  double norm_eps = 1e-5;        ///< rms_norm_eps
  Activation activation = Activation::kSilu;
  bool tied_embeddings = false;  ///< the output head uses the embedding matrix
  bool qkv_bias = false;         ///< q, k and v projections have a bias (Qwen2)
  bool out_bias = false;         ///< so has the output projection of attention
  bool ffn_bias = false;         ///< and the three projections of a feed-forward network
  bool expert_biases = false;    ///< of experts, too, and of their router (gpt-oss)
  bool attention_sinks = false;  ///< each head has a learned score that joins the sum of the softmax (gpt-oss)
  QkNorm qk_norm = QkNorm::kNone;
  BlockNorms block_norms = BlockNorms::kBefore;
  bool norms_add_one = false;      ///< norms multiply by 1 + weight (Gemma)
  bool norms_center = false;       ///< norms are LayerNorms (Cohere, StarCoder 2)
  bool norm_biases = false;        ///< which have biases
  bool parallel_blocks = false;    ///< attention and feed-forward network read the same norm (Cohere)
  bool gated_ffn = true;           ///< false: the network is down(act(up)), and ffn_dim is that of up (StarCoder 2)
  double attention_scale = 1.0;    ///< scores are multiplied by it
  double attention_softcap = 0.0;  ///< scores s become c tanh(s / c); 0: they do not
  double logit_softcap = 0.0;
  double embedding_scale = 1.0;  ///< rows of the embedding are multiplied by it
  double residual_scale = 1.0;   ///< what a block adds to the hidden state is multiplied by it (Granite)
  double logit_scale = 1.0;      ///< logits are multiplied by it
  RopeConfig rope;
  RotaryPairs rotary_pairs = RotaryPairs::kHalves;
  std::int64_t rotary_dim = 0;  ///< elements of a head that are rotated, the first ones
  /// Each valid for sequences of at most max_seq_len tokens. Frequencies are 0 for pairs that are not rotated.
  std::vector<RopeTable> rope_tables;
  std::vector<std::int32_t> layer_ropes;  ///< [n_layers]: indices of rope_tables
  /// LongRoPE: replace rope_tables for sequences that may grow beyond long_rope_after tokens; otherwise empty.
  std::vector<RopeTable> long_rope_tables;
  std::int64_t long_rope_after = 0;
  bool fused_projections = false;  ///< q, k and v are stored as one tensor, gate and up as another
  bool is_text_part = false;       ///< the model is the part for text of one that has another for pictures (Mistral 3)
  /// [n_layers]: a token at position p attends to positions > p - window; 0 means to all earlier positions.
  std::vector<std::int64_t> windows;
  std::int64_t n_experts = 0;            ///< 0 for a dense model
  std::int64_t n_experts_per_token = 0;  ///< how many of the best experts a token uses
  std::int64_t expert_ffn_dim = 0;       ///< intermediate_size of one expert
  bool renormalizes_experts = true;      ///< the weights of a token's experts are scaled to the sum 1
  bool sigmoid_experts = false;          ///< scores of experts are sigmoids, and a bias joins the choice (DeepSeek-V3)
  double expert_scale = 1.0;             ///< the weights of a token's experts are multiplied by it at last
  std::int64_t n_expert_groups = 1;      ///< of which a token's experts come from the n_top_groups best
  std::int64_t n_top_groups = 1;
  GroupRule group_rule = GroupRule::kLargest;
  std::vector<bool> mixture_layers;  ///< [n_layers]: those with experts
  std::int64_t shared_ffn_dim = 0;   ///< of the expert that every token uses; 0: there is none
  bool shared_gate = false;          ///< it has a gate of its own (Qwen2-MoE)
  std::optional<std::int32_t> bos_id;
  std::vector<std::int32_t> eos_ids;  ///< each of these ends a generation
  std::string torch_dtype;            ///< as written in the file ("bfloat16"); empty if absent

  [[nodiscard]] bool has_norms_before() const noexcept { return block_norms != BlockNorms::kAfter; }
  [[nodiscard]] bool has_norms_after() const noexcept { return block_norms != BlockNorms::kBefore; }
  [[nodiscard]] bool is_rotated(std::int64_t layer) const;
  [[nodiscard]] bool is_mixture_layer(std::int64_t layer) const {
    return mixture_layers[static_cast<std::size_t>(layer)];
  }
  /// The width of all queries as attention reads them; with latent attention these are queries to latents.
  [[nodiscard]] std::int64_t q_dim() const noexcept { return n_heads * head_dim; }
  [[nodiscard]] std::int64_t kv_dim() const noexcept { return n_kv_heads * head_dim; }
  /// The width of a value as attention reads it.
  [[nodiscard]] std::int64_t value_dim() const noexcept { return latent.is_present() ? latent.kv_rank : head_dim; }
};

/// Parses the text of a config.json. Error messages begin with `name`. Errors: kInvalidInput for malformed input,
/// kUnsupported for a valid model outside the family.
Result<ModelConfig> parse_model_config(std::string_view text, std::string_view name);

/// Takes from the text of a generation_config.json which ids end a generation, as transformers' generate() does: its
/// eos_token_id (an id or a list) instead of config.json's, unless it has none. Errors: kInvalidInput.
Result<void> take_generation_config(std::string_view text, std::string_view name, ModelConfig& config);

}  // namespace secondsource
