#pragma once
// The values that transformers' configuration classes give to keys that config.json lacks. Source: transformers 5.23,
// models/{llama,mistral,qwen2,qwen3,mixtral}/configuration_*.py; tests/recipes/config_defaults_test.py compares with them.

#include <array>
#include <cstdint>
#include <string_view>

#include "bundle/model_config.h"

namespace secondsource::detail {

/// Which layers have a sliding window.
enum class WindowRule : std::uint8_t {
  kNone,     ///< none: sliding_window and layer_types are ignored
  kAll,      ///< all, unless sliding_window is null; layer_types and use_sliding_window are ignored
  kByLayer,  ///< with use_sliding_window those of layer_types, or from max_window_layers on
};

/// The value follows from other keys: num_attention_heads, or hidden_size / num_attention_heads.
inline constexpr std::int64_t kDerived = 0;
inline constexpr std::int64_t kNoValue = -1;

struct ConfigClass {
  Architecture architecture;
  std::string_view family;
  std::string_view class_name;
  // The values of absent keys.
  std::int64_t vocab_size;
  std::int64_t intermediate_size;
  std::int64_t num_key_value_heads;  ///< or kDerived
  std::int64_t head_dim;             ///< or kDerived
  std::int64_t max_position_embeddings;
  double rms_norm_eps;
  double rope_theta;
  std::int64_t sliding_window;  ///< or kNoValue
  std::int64_t bos_token_id;    ///< or kNoValue
  std::int64_t eos_token_id;    ///< or kNoValue
  // Which keys the model reads at all.
  WindowRule windows;
  bool reads_attention_bias;
  bool reads_mlp_bias;
};

constexpr std::array kConfigClasses = {
    ConfigClass{.architecture = Architecture::kLlama,
                .family = "llama",
                .class_name = "LlamaForCausalLM",
                .vocab_size = 32000,
                .intermediate_size = 11008,
                .num_key_value_heads = kDerived,
                .head_dim = kDerived,
                .max_position_embeddings = 2048,
                .rms_norm_eps = 1e-6,
                .rope_theta = 1e4,
                .sliding_window = kNoValue,
                .bos_token_id = 1,
                .eos_token_id = 2,
                .windows = WindowRule::kNone,
                .reads_attention_bias = true,
                .reads_mlp_bias = true},
    ConfigClass{.architecture = Architecture::kMistral,
                .family = "mistral",
                .class_name = "MistralForCausalLM",
                .vocab_size = 32000,
                .intermediate_size = 14336,
                .num_key_value_heads = 8,
                .head_dim = kDerived,
                .max_position_embeddings = 131072,
                .rms_norm_eps = 1e-6,
                .rope_theta = 1e4,
                .sliding_window = 4096,
                .bos_token_id = 1,
                .eos_token_id = 2,
                .windows = WindowRule::kAll,
                .reads_attention_bias = false,
                .reads_mlp_bias = false},
    ConfigClass{.architecture = Architecture::kQwen2,
                .family = "qwen2",
                .class_name = "Qwen2ForCausalLM",
                .vocab_size = 151936,
                .intermediate_size = 22016,
                .num_key_value_heads = 32,
                .head_dim = kDerived,
                .max_position_embeddings = 32768,
                .rms_norm_eps = 1e-6,
                .rope_theta = 1e4,
                .sliding_window = 4096,
                .bos_token_id = kNoValue,
                .eos_token_id = kNoValue,
                .windows = WindowRule::kByLayer,
                .reads_attention_bias = false,
                .reads_mlp_bias = false},
    ConfigClass{.architecture = Architecture::kQwen3,
                .family = "qwen3",
                .class_name = "Qwen3ForCausalLM",
                .vocab_size = 151936,
                .intermediate_size = 22016,
                .num_key_value_heads = 32,
                .head_dim = 128,
                .max_position_embeddings = 32768,
                .rms_norm_eps = 1e-6,
                .rope_theta = 1e4,
                .sliding_window = 4096,
                .bos_token_id = kNoValue,
                .eos_token_id = kNoValue,
                .windows = WindowRule::kByLayer,
                .reads_attention_bias = true,
                .reads_mlp_bias = false},
    ConfigClass{.architecture = Architecture::kMixtral,
                .family = "mixtral",
                .class_name = "MixtralForCausalLM",
                .vocab_size = 32000,
                .intermediate_size = 14336,
                .num_key_value_heads = 8,
                .head_dim = kDerived,
                .max_position_embeddings = 131072,
                .rms_norm_eps = 1e-5,
                .rope_theta = 1e6,
                .sliding_window = kNoValue,
                .bos_token_id = 1,
                .eos_token_id = 2,
                .windows = WindowRule::kAll,
                .reads_attention_bias = false,
                .reads_mlp_bias = false},
};

// Values that all five classes share.
inline constexpr std::int64_t kHiddenSize = 4096;
inline constexpr std::int64_t kHiddenLayers = 32;
inline constexpr std::int64_t kAttentionHeads = 32;
inline constexpr std::int64_t kMaxWindowLayers = 28;
inline constexpr std::int64_t kLocalExperts = 8;
inline constexpr std::int64_t kExpertsPerToken = 2;

}  // namespace secondsource::detail
