#pragma once
// Reads and checks a model's config.json as Hugging Face writes it, and gives its contents this project's names. An
// absent key has the value that its class has in transformers (config_class.h). It reads the Llama family; every other
// architecture is refused by its name, and so is every option that would change the arithmetic in a way that is not
// implemented.

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

enum class Architecture : std::uint8_t { kLlama, kMistral, kQwen2, kQwen3, kMixtral };

/// "llama", "mistral", "qwen2", "qwen3" or "mixtral": the `family` of a manifest.
[[nodiscard]] std::string_view to_string(Architecture architecture);

/// The activation function of the gated feed-forward network: act(gate) * up.
enum class Activation : std::uint8_t {
  kSilu,
  kGeluTanh,  ///< gelu_pytorch_tanh
};

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  std::int64_t dim = 0;         ///< hidden_size
  std::int64_t ffn_dim = 0;     ///< intermediate_size; in a mixture, that of one expert
  std::int64_t n_layers = 0;    ///< num_hidden_layers
  std::int64_t n_heads = 0;     ///< num_attention_heads
  std::int64_t n_kv_heads = 0;  ///< num_key_value_heads, a divisor of n_heads
  std::int64_t head_dim = 0;    ///< even
  std::int64_t vocab_size = 0;
  std::int64_t max_seq_len = 0;  ///< max_position_embeddings
  double norm_eps = 1e-5;        ///< rms_norm_eps
  Activation activation = Activation::kSilu;
  bool tied_embeddings = false;  ///< the output head uses the embedding matrix
  bool qkv_bias = false;         ///< q, k and v projections have a bias (Qwen2)
  bool qk_norm = false;          ///< each head of q and k is RMS-normalized before the rotation (Qwen3)
  RopeConfig rope;
  RopeTable rope_table;  ///< valid for sequences of at most max_seq_len tokens
  /// [n_layers]: a token at position p attends to positions > p - window; 0 means to all earlier positions.
  std::vector<std::int64_t> windows;
  std::int64_t n_experts = 0;  ///< 0 for a dense model
  /// In a mixture, how many of the best experts a token uses; their weights are renormalized to sum 1.
  std::int64_t n_experts_per_token = 0;
  std::optional<std::int32_t> bos_id;
  std::vector<std::int32_t> eos_ids;  ///< each of these ends a generation
  std::string torch_dtype;            ///< as written in the file ("bfloat16"); empty if absent

  [[nodiscard]] bool is_mixture() const noexcept { return n_experts > 0; }
  [[nodiscard]] std::int64_t q_dim() const noexcept { return n_heads * head_dim; }
  [[nodiscard]] std::int64_t kv_dim() const noexcept { return n_kv_heads * head_dim; }
};

/// Parses the text of a config.json. Error messages begin with `name`. Errors: kInvalidInput for malformed input,
/// kUnsupported for a valid model outside the family.
Result<ModelConfig> parse_model_config(std::string_view text, std::string_view name);

/// Takes from the text of a generation_config.json which ids end a generation, as transformers' generate() does: its
/// eos_token_id (an id or a list) instead of config.json's, unless it has none. Errors: kInvalidInput.
Result<void> take_generation_config(std::string_view text, std::string_view name, ModelConfig& config);

}  // namespace secondsource
