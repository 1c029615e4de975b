#pragma once
// The values that transformers' configuration classes give to keys that config.json lacks, and which keys each class
// reads. Source: transformers 5.23, models/FAMILY/configuration_FAMILY.py, and modeling_FAMILY.py for what the keys do;
// tests/recipes/config_defaults_test.py compares with them.

#include <array>
#include <cstdint>
#include <string_view>

#include "bundle/model_config.h"

namespace secondsource::detail {

/// Which layers have a sliding window.
enum class WindowRule : std::uint8_t {
  kNone,         ///< none: sliding_window and layer_types are ignored
  kAll,          ///< all, unless sliding_window is null; layer_types and use_sliding_window are ignored
  kAllUsed,      ///< with use_sliding_window all; layer_types is ignored
  kFromLayer,    ///< with use_sliding_window those of layer_types, or from max_window_layers on
  kEveryOther,   ///< with use_sliding_window those of layer_types, or 0, 2, 4, ... below max_window_layers
  kWithoutRope,  ///< with use_sliding_window those of layer_types, or those without rotation
  kPattern,      ///< those of layer_types, or all but the last of each window_period layers
};

/// The value follows from other keys: num_attention_heads, or hidden_size / num_attention_heads.
inline constexpr std::int64_t kDerived = 0;
inline constexpr std::int64_t kNoValue = -1;

/// A key that says whether there are biases. Without a key, the value for its absence is that of every model.
struct BiasKey {
  std::string_view key = {};
  bool absent = false;
};

/// A mixture of experts in the feed-forward networks.
struct MixtureKeys {
  /// Two names of the number of experts, of which the second takes precedence; empty: the class is dense.
  std::array<std::string_view, 2> n_experts_keys = {};
  std::int64_t n_experts = 0;
  std::int64_t num_experts_per_tok = 0;
  std::int64_t moe_intermediate_size = kDerived;     ///< kDerived: intermediate_size, and the key is ignored
  bool reads_norm_topk_prob = false;                 ///< false by default; otherwise weights are always renormalized
  bool has_dense_layers = false;                     ///< reads decoder_sparse_step and mlp_only_layers
  std::int64_t shared_expert_intermediate_size = 0;  ///< 0: no expert that all tokens share, and no such key
  std::int64_t n_shared_experts = 0;  ///< > 0: reads this, for a shared one without a gate, of as many widths
  std::int64_t first_k_dense_replace = kNoValue;  ///< >= 0: reads it: the number of dense layers, the first ones
  double routed_scaling_factor = 0.0;             ///< > 0: reads it
  /// Scores are sigmoids, and a bias is added to choose experts; reads n_group (8), topk_group (4) and norm_topk_prob
  /// (true).
  bool has_sigmoid_groups = false;
  bool has_topk_method = false;  ///< reads topk_method (greedy), and n_group and topk_group with group_limited_greedy
  bool has_biases = false;       ///< of the router and of every expert
  [[nodiscard]] constexpr bool is_present() const { return !n_experts_keys[0].empty(); }
};

/// The values of absent keys of multi-head latent attention.
struct LatentKeys {
  std::int64_t kv_lora_rank = 0;  ///< 0: the class has none
  std::int64_t q_lora_rank = 0;
  std::int64_t qk_nope_head_dim = 0;
  std::int64_t qk_rope_head_dim = 0;
  std::int64_t v_head_dim = 0;
  bool reads_rope_interleave = false;  ///< true by default; otherwise pairs are always neighbours
};

struct ConfigClass {
  Architecture architecture;
  std::string_view family;
  std::string_view class_name;
  /// For a class for text and pictures: the families that its text part may have; the first one if text_config names
  /// none. The keys are in text_config and are read as that family's class reads them, so this class specifies nothing
  /// else. Empty for other classes.
  std::array<std::string_view, 2> text_families = {};
  // The values of absent keys. Every text-only class sets those that are 0 here.
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 4096;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 32;
  std::int64_t num_attention_heads = 32;
  std::int64_t num_key_value_heads = kDerived;
  std::int64_t head_dim = kDerived;
  std::int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;  ///< under norm_eps_key
  double rope_theta = 1e4;
  bool tie_word_embeddings = false;
  std::int64_t sliding_window = kNoValue;
  std::int64_t bos_token_id = kNoValue;
  std::int64_t eos_token_id = kNoValue;
  // Which keys the class reads at all, and properties that all models of the class share.
  WindowRule windows = WindowRule::kNone;
  BiasKey qkv_bias = {};
  BiasKey out_bias = {};
  BiasKey mlp_bias = {};
  MixtureKeys mixture = {};
  LatentKeys latent = {};
  QkNorm qk_norm = QkNorm::kNone;
  bool reads_multipliers = false;     ///< embedding_, residual_ and attention_multiplier, logits_scaling
  bool has_unrotated_layers = false;  ///< reads no_rope_layers and no_rope_layer_interval
  RotaryPairs rotary_pairs = RotaryPairs::kHalves;
  bool reads_partial_rotary = false;  ///< partial_rotary_factor; the others ignore it or cannot compute with it
  /// original_max_position_embeddings beside rope_scaling, or kDerived: max_position_embeddings
  std::int64_t original_max_position_embeddings = kDerived;
  bool has_fused_projections = false;  ///< q, k and v are one tensor, gate and up another
  std::int64_t window_period = 0;      ///< for WindowRule::kPattern
  std::string_view window_period_key = {};
  std::string_view activation_key = "hidden_act";
  std::string_view activation = "silu";
  bool gelu_is_tanh = false;       ///< the name gelu stands for gelu_pytorch_tanh
  bool has_clamped_swish = false;  ///< reads swiglu_alpha and swiglu_limit in the place of an activation's name
  bool norms_add_one = false;      ///< norms multiply by 1 + weight
  bool norms_center = false;       ///< LayerNorms
  bool norm_biases = false;
  bool parallel_blocks = false;
  bool gated_ffn = true;
  std::string_view norm_eps_key = "rms_norm_eps";
  bool rotates_windows_only = false;  ///< layers without a window are not rotated
  double logit_scale = 0.0;  ///< the value of an absent logit_scale, by which logits are multiplied; 0: no such key
  bool may_center_heads = false;  ///< reads use_qk_norm, with which each head of q and k has a LayerNorm
  BlockNorms block_norms = BlockNorms::kBefore;
  bool has_attention_sinks = false;
  bool scales_embedding = false;           ///< by the square root of hidden_size
  std::int64_t query_pre_attn_scalar = 0;  ///< scores are divided by its square root; 0: head_dim, and there is no key
  bool has_attention_softcap = false;      ///< reads attn_logit_softcapping
  bool has_logit_softcap = false;          ///< reads final_logit_softcapping
  double attn_logit_softcapping = 0.0;     ///< 0: none
  double final_logit_softcapping = 0.0;
  double rope_local_base_freq = 0.0;   ///< of layers with a window; 0: all layers have the same rotation
  bool grows_queries = false;          ///< reads llama_4_scaling_beta among the parameters of the rotation
  std::string_view rope_scaling = {};  ///< what an absent rope_parameters means, as JSON; empty: no scaling
};

inline constexpr std::array kConfigClasses = {
    ConfigClass{.architecture = Architecture::kLlama,
                .family = "llama",
                .class_name = "LlamaForCausalLM",
                .vocab_size = 32000,
                .intermediate_size = 11008,
                .num_key_value_heads = kDerived,
                .max_position_embeddings = 2048,
                .bos_token_id = 1,
                .eos_token_id = 2,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .mlp_bias = {"mlp_bias"}},
    ConfigClass{.architecture = Architecture::kMistral,
                .family = "mistral",
                .class_name = "MistralForCausalLM",
                .vocab_size = 32000,
                .intermediate_size = 14336,
                .num_key_value_heads = 8,
                .max_position_embeddings = 131072,
                .sliding_window = 4096,
                .bos_token_id = 1,
                .eos_token_id = 2,
                .windows = WindowRule::kAll},
    ConfigClass{.architecture = Architecture::kQwen2,
                .family = "qwen2",
                .class_name = "Qwen2ForCausalLM",
                .vocab_size = 151936,
                .intermediate_size = 22016,
                .num_key_value_heads = 32,
                .max_position_embeddings = 32768,
                .sliding_window = 4096,
                .windows = WindowRule::kFromLayer,
                .qkv_bias = {.absent = true}},
    ConfigClass{.architecture = Architecture::kQwen3,
                .family = "qwen3",
                .class_name = "Qwen3ForCausalLM",
                .vocab_size = 151936,
                .intermediate_size = 22016,
                .num_key_value_heads = 32,
                .head_dim = 128,
                .max_position_embeddings = 32768,
                .sliding_window = 4096,
                .windows = WindowRule::kFromLayer,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .qk_norm = QkNorm::kEachHead},
    ConfigClass{
        .architecture = Architecture::kMixtral,
        .family = "mixtral",
        .class_name = "MixtralForCausalLM",
        .vocab_size = 32000,
        .intermediate_size = 14336,
        .num_key_value_heads = 8,
        .max_position_embeddings = 131072,
        .rms_norm_eps = 1e-5,
        .rope_theta = 1e6,
        .bos_token_id = 1,
        .eos_token_id = 2,
        .windows = WindowRule::kAll,
        .mixture = {.n_experts_keys = {"num_local_experts", "num_experts"}, .n_experts = 8, .num_experts_per_tok = 2}},
    ConfigClass{.architecture = Architecture::kQwen3Moe,
                .family = "qwen3_moe",
                .class_name = "Qwen3MoeForCausalLM",
                .vocab_size = 151936,
                .hidden_size = 2048,
                .intermediate_size = 6144,
                .num_hidden_layers = 24,
                .num_key_value_heads = 4,
                .max_position_embeddings = 32768,
                .sliding_window = 4096,
                .windows = WindowRule::kAllUsed,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .mixture = {.n_experts_keys = {"num_experts", "num_local_experts"},
                            .n_experts = 128,
                            .num_experts_per_tok = 8,
                            .moe_intermediate_size = 768,
                            .reads_norm_topk_prob = true,
                            .has_dense_layers = true},
                .qk_norm = QkNorm::kEachHead},
    ConfigClass{.architecture = Architecture::kQwen2Moe,
                .family = "qwen2_moe",
                .class_name = "Qwen2MoeForCausalLM",
                .vocab_size = 151936,
                .hidden_size = 2048,
                .intermediate_size = 5632,
                .num_hidden_layers = 24,
                .num_attention_heads = 16,
                .num_key_value_heads = 16,
                .max_position_embeddings = 32768,
                .sliding_window = 4096,
                .windows = WindowRule::kEveryOther,
                .qkv_bias = {"qkv_bias", true},
                .mixture = {.n_experts_keys = {"num_experts"},
                            .n_experts = 60,
                            .num_experts_per_tok = 4,
                            .moe_intermediate_size = 1408,
                            .reads_norm_topk_prob = true,
                            .has_dense_layers = true,
                            .shared_expert_intermediate_size = 5632}},
    ConfigClass{.architecture = Architecture::kGranite,
                .family = "granite",
                .class_name = "GraniteForCausalLM",
                .vocab_size = 32000,
                .intermediate_size = 11008,
                .num_key_value_heads = kDerived,
                .max_position_embeddings = 2048,
                .bos_token_id = 1,
                .eos_token_id = 2,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .mlp_bias = {"mlp_bias"},
                .reads_multipliers = true},
    ConfigClass{.architecture = Architecture::kSmolLm3,
                .family = "smollm3",
                .class_name = "SmolLM3ForCausalLM",
                .vocab_size = 128256,
                .hidden_size = 2048,
                .intermediate_size = 11008,
                .num_hidden_layers = 36,
                .num_attention_heads = 16,
                .num_key_value_heads = 4,
                .max_position_embeddings = 32768,
                .rope_theta = 2e6,
                .tie_word_embeddings = true,
                .bos_token_id = 128000,
                .eos_token_id = 128001,
                .windows = WindowRule::kWithoutRope,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .mlp_bias = {"mlp_bias"},
                .has_unrotated_layers = true},
    ConfigClass{.architecture = Architecture::kSeedOss,
                .family = "seed_oss",
                .class_name = "SeedOssForCausalLM",
                .vocab_size = 155136,
                .intermediate_size = 27648,
                .num_hidden_layers = 64,
                .num_attention_heads = 80,
                .num_key_value_heads = 8,
                .head_dim = 128,
                .max_position_embeddings = 524288,
                .bos_token_id = 0,
                .eos_token_id = 2,
                .qkv_bias = {"attention_bias", true},
                .out_bias = {"attention_out_bias"},
                .mlp_bias = {"mlp_bias"}},
    ConfigClass{.architecture = Architecture::kErnie45,
                .family = "ernie4_5",
                .class_name = "Ernie4_5ForCausalLM",
                .vocab_size = 103424,
                .hidden_size = 1024,
                .intermediate_size = 3072,
                .num_hidden_layers = 18,
                .num_attention_heads = 16,
                .num_key_value_heads = 2,
                .head_dim = 128,
                .max_position_embeddings = 131072,
                .rms_norm_eps = 1e-5,
                .rope_theta = 5e5,
                .tie_word_embeddings = true,
                .bos_token_id = 1,
                .eos_token_id = 2,
                .qkv_bias = {"use_bias"},
                .out_bias = {"use_bias"},
                .mlp_bias = {"use_bias"},
                .rotary_pairs = RotaryPairs::kNeighbours},
    ConfigClass{.architecture = Architecture::kPhi3,
                .family = "phi3",
                .class_name = "Phi3ForCausalLM",
                .vocab_size = 32064,
                .hidden_size = 3072,
                .intermediate_size = 8192,
                .num_key_value_heads = kDerived,
                .max_position_embeddings = 4096,
                .rms_norm_eps = 1e-5,
                .bos_token_id = 1,
                .eos_token_id = 32000,
                .windows = WindowRule::kAll,
                .reads_partial_rotary = true,
                .original_max_position_embeddings = 4096,
                .has_fused_projections = true},
    ConfigClass{.architecture = Architecture::kGemma,
                .family = "gemma",
                .class_name = "GemmaForCausalLM",
                .vocab_size = 256000,
                .hidden_size = 3072,
                .intermediate_size = 24576,
                .num_hidden_layers = 28,
                .num_attention_heads = 16,
                .num_key_value_heads = 16,
                .head_dim = 256,
                .max_position_embeddings = 8192,
                .tie_word_embeddings = true,
                .bos_token_id = 2,
                .eos_token_id = 1,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .activation = "gelu_pytorch_tanh",
                .gelu_is_tanh = true,
                .norms_add_one = true,
                .scales_embedding = true},
    ConfigClass{.architecture = Architecture::kGemma2,
                .family = "gemma2",
                .class_name = "Gemma2ForCausalLM",
                .vocab_size = 256000,
                .hidden_size = 2304,
                .intermediate_size = 9216,
                .num_hidden_layers = 26,
                .num_attention_heads = 8,
                .num_key_value_heads = 4,
                .head_dim = 256,
                .max_position_embeddings = 8192,
                .tie_word_embeddings = true,
                .sliding_window = 4096,
                .bos_token_id = 2,
                .eos_token_id = 1,
                .windows = WindowRule::kPattern,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .window_period = 2,
                .activation_key = "hidden_activation",
                .activation = "gelu_pytorch_tanh",
                .norms_add_one = true,
                .block_norms = BlockNorms::kBeforeAndAfter,
                .scales_embedding = true,
                .query_pre_attn_scalar = 256,
                .has_attention_softcap = true,
                .has_logit_softcap = true,
                .attn_logit_softcapping = 50.0,
                .final_logit_softcapping = 30.0},
    ConfigClass{.architecture = Architecture::kGemma3,
                .family = "gemma3_text",
                .class_name = "Gemma3ForCausalLM",
                .vocab_size = 262208,
                .hidden_size = 2304,
                .intermediate_size = 9216,
                .num_hidden_layers = 26,
                .num_attention_heads = 8,
                .num_key_value_heads = 4,
                .head_dim = 256,
                .max_position_embeddings = 131072,
                .rope_theta = 1e6,
                .tie_word_embeddings = true,
                .sliding_window = 4096,
                .bos_token_id = 2,
                .eos_token_id = 1,
                .windows = WindowRule::kPattern,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .qk_norm = QkNorm::kEachHead,
                .window_period = 6,
                .window_period_key = "sliding_window_pattern",
                .activation_key = "hidden_activation",
                .activation = "gelu_pytorch_tanh",
                .norms_add_one = true,
                .block_norms = BlockNorms::kBeforeAndAfter,
                .scales_embedding = true,
                .query_pre_attn_scalar = 256,
                .has_logit_softcap = true,
                .rope_local_base_freq = 1e4},
    ConfigClass{.architecture = Architecture::kOlmo2,
                .family = "olmo2",
                .class_name = "Olmo2ForCausalLM",
                .vocab_size = 50304,
                .intermediate_size = 11008,
                .num_key_value_heads = kDerived,
                .max_position_embeddings = 2048,
                .rms_norm_eps = 1e-5,
                .eos_token_id = 50279,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .qk_norm = QkNorm::kAllHeads,
                .block_norms = BlockNorms::kAfter},
    ConfigClass{.architecture = Architecture::kGraniteMoe,
                .family = "granitemoe",
                .class_name = "GraniteMoeForCausalLM",
                .vocab_size = 32000,
                .intermediate_size = 11008,
                .num_key_value_heads = kDerived,
                .max_position_embeddings = 2048,
                .bos_token_id = 1,
                .eos_token_id = 2,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .mixture = {.n_experts_keys = {"num_local_experts"}, .n_experts = 8, .num_experts_per_tok = 2},
                .reads_multipliers = true},
    ConfigClass{.architecture = Architecture::kMistral3,
                .family = "mistral3",
                .class_name = "Mistral3ForConditionalGeneration",
                .text_families = {"mistral", "ministral3"}},
    ConfigClass{.architecture = Architecture::kGptOss,
                .family = "gpt_oss",
                .class_name = "GptOssForCausalLM",
                .vocab_size = 201088,
                .hidden_size = 2880,
                .intermediate_size = 2880,
                .num_hidden_layers = 36,
                .num_attention_heads = 64,
                .num_key_value_heads = 8,
                .head_dim = 64,
                .max_position_embeddings = 131072,
                .rms_norm_eps = 1e-5,
                .rope_theta = 150000.0,
                .sliding_window = 128,
                .windows = WindowRule::kPattern,
                .qkv_bias = {"attention_bias", true},
                .out_bias = {"attention_bias", true},
                .mixture = {.n_experts_keys = {"num_local_experts", "num_experts"},
                            .n_experts = 128,
                            .num_experts_per_tok = 4,
                            .has_biases = true},
                .window_period = 2,
                .has_clamped_swish = true,
                .has_attention_sinks = true,
                .rope_scaling = R"({"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                                    "truncate": false, "original_max_position_embeddings": 4096})"},
    ConfigClass{.architecture = Architecture::kCohere,
                .family = "cohere",
                .class_name = "CohereForCausalLM",
                .vocab_size = 256000,
                .hidden_size = 8192,
                .intermediate_size = 22528,
                .num_hidden_layers = 40,
                .num_attention_heads = 64,
                .num_key_value_heads = kDerived,
                .max_position_embeddings = 8192,
                .rms_norm_eps = 1e-5,
                .rope_theta = 500000.0,
                .tie_word_embeddings = true,
                .bos_token_id = 5,
                .eos_token_id = 255001,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .rotary_pairs = RotaryPairs::kNeighbours,
                .norms_center = true,
                .parallel_blocks = true,
                .norm_eps_key = "layer_norm_eps",
                .logit_scale = 0.0625,
                .may_center_heads = true},
    ConfigClass{.architecture = Architecture::kCohere2,
                .family = "cohere2",
                .class_name = "Cohere2ForCausalLM",
                .vocab_size = 256000,
                .hidden_size = 8192,
                .intermediate_size = 22528,
                .num_hidden_layers = 40,
                .num_attention_heads = 64,
                .num_key_value_heads = kDerived,
                .max_position_embeddings = 8192,
                .rms_norm_eps = 1e-5,
                .tie_word_embeddings = true,
                .sliding_window = 4096,
                .bos_token_id = 5,
                .eos_token_id = 255001,
                .windows = WindowRule::kPattern,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .rotary_pairs = RotaryPairs::kNeighbours,
                .window_period = 4,
                .window_period_key = "sliding_window_pattern",
                .norms_center = true,
                .parallel_blocks = true,
                .norm_eps_key = "layer_norm_eps",
                .rotates_windows_only = true,
                .logit_scale = 0.0625},
    ConfigClass{.architecture = Architecture::kStarcoder2,
                .family = "starcoder2",
                .class_name = "Starcoder2ForCausalLM",
                .vocab_size = 49152,
                .hidden_size = 3072,
                .intermediate_size = 12288,
                .num_hidden_layers = 30,
                .num_attention_heads = 24,
                .num_key_value_heads = 2,
                .max_position_embeddings = 4096,
                .rms_norm_eps = 1e-5,
                .tie_word_embeddings = true,
                .bos_token_id = 50256,
                .eos_token_id = 50256,
                .windows = WindowRule::kAll,
                .qkv_bias = {"use_bias", true},
                .out_bias = {"use_bias", true},
                .mlp_bias = {"use_bias", true},
                .activation = "gelu_pytorch_tanh",
                .norms_center = true,
                .norm_biases = true,
                .gated_ffn = false,
                .norm_eps_key = "norm_epsilon"},
    ConfigClass{.architecture = Architecture::kDeepseekV2,
                .family = "deepseek_v2",
                .class_name = "DeepseekV2ForCausalLM",
                .vocab_size = 102400,
                .intermediate_size = 11008,
                .num_key_value_heads = kDerived,
                .max_position_embeddings = 2048,
                .bos_token_id = 1,
                .eos_token_id = 2,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .mlp_bias = {"mlp_bias"},
                .mixture = {.n_experts_keys = {"n_routed_experts", "num_experts"},
                            .n_experts = 64,
                            .num_experts_per_tok = kNoValue,
                            .moe_intermediate_size = 1407,
                            .n_shared_experts = 2,
                            .first_k_dense_replace = 0,
                            .routed_scaling_factor = 1.0,
                            .has_topk_method = true},
                .latent = {.kv_lora_rank = 512,
                           .q_lora_rank = 1536,
                           .qk_nope_head_dim = 128,
                           .qk_rope_head_dim = 64,
                           .v_head_dim = 128},
                .rotary_pairs = RotaryPairs::kNeighbours},
    ConfigClass{.architecture = Architecture::kDeepseekV3,
                .family = "deepseek_v3",
                .class_name = "DeepseekV3ForCausalLM",
                .vocab_size = 129280,
                .hidden_size = 7168,
                .intermediate_size = 18432,
                .num_hidden_layers = 61,
                .num_attention_heads = 128,
                .num_key_value_heads = 128,
                .max_position_embeddings = 4096,
                .bos_token_id = 0,
                .eos_token_id = 1,
                .qkv_bias = {"attention_bias"},
                .out_bias = {"attention_bias"},
                .mixture = {.n_experts_keys = {"n_routed_experts", "num_local_experts"},
                            .n_experts = 256,
                            .num_experts_per_tok = 8,
                            .moe_intermediate_size = 2048,
                            .n_shared_experts = 1,
                            .first_k_dense_replace = 3,
                            .routed_scaling_factor = 2.5,
                            .has_sigmoid_groups = true},
                .latent = {.kv_lora_rank = 512,
                           .q_lora_rank = 1536,
                           .qk_nope_head_dim = 128,
                           .qk_rope_head_dim = 64,
                           .v_head_dim = 128,
                           .reads_rope_interleave = true},
                .rotary_pairs = RotaryPairs::kNeighbours},
    ConfigClass{.architecture = Architecture::kMinistral3,
                .family = "ministral3",
                .class_name = "Ministral3ForCausalLM",
                .vocab_size = 131072,
                .intermediate_size = 14336,
                .num_hidden_layers = 34,
                .num_key_value_heads = 8,
                .head_dim = 128,
                .max_position_embeddings = 262144,
                .rms_norm_eps = 1e-5,
                .bos_token_id = 1,
                .eos_token_id = 2,
                .windows = WindowRule::kAll,
                .grows_queries = true,
                .rope_scaling = R"({"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 16.0, "beta_fast": 32.0,
                                    "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                                    "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 16384})"},
    ConfigClass{.architecture = Architecture::kGemma3Pictures,
                .family = "gemma3",
                .class_name = "Gemma3ForConditionalGeneration",
                .text_families = {"gemma3_text"}},
};

inline constexpr std::int64_t kMaxWindowLayers = 28;
inline constexpr std::int64_t kNoRopeLayerInterval = 4;

}  // namespace secondsource::detail
