#pragma once
// What config.json (as Hugging Face writes it) says about a model, checked, in this project's names. Reads the Llama
// family; every other architecture is refused by its name, and so is every option that would change the arithmetic in
// a way that we do not have.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/rope.h"
#include "core/result.h"

namespace secondsource {

enum class Architecture : std::uint8_t { kLlama, kMistral, kQwen2, kQwen3, kMixtral };

/// "llama", "mistral", "qwen2", "qwen3", "mixtral": the family in the manifest.
[[nodiscard]] std::string_view to_string(Architecture architecture);

/// The non-linearity of the feed-forward network, in its gated form: act(gate) * up.
enum class Activation : std::uint8_t {
  kSilu,
  kGeluTanh,  ///< gelu_pytorch_tanh
};

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  std::int64_t dim = 0;         ///< hidden_size
  std::int64_t ffn_dim = 0;     ///< intermediate_size; of one expert in a mixture
  std::int64_t n_layers = 0;    ///< num_hidden_layers
  std::int64_t n_heads = 0;     ///< num_attention_heads
  std::int64_t n_kv_heads = 0;  ///< num_key_value_heads; divides n_heads
  std::int64_t head_dim = 0;    ///< head_dim, or dim / n_heads; even
  std::int64_t vocab_size = 0;
  std::int64_t max_seq_len = 0;  ///< max_position_embeddings
  double norm_eps = 1e-5;        ///< rms_norm_eps
  Activation activation = Activation::kSilu;
  bool tied_embeddings = false;  ///< the head is the embedding matrix
  bool qkv_bias = false;         ///< q, k and v projections have a bias (Qwen2)
  bool qk_norm = false;          ///< each head of q and k is RMS-normalized before the rotation (Qwen3)
  RopeConfig rope;
  RopeTable rope_table;  ///< for sequences of at most max_seq_len tokens
  /// [n_layers]: a token at position p sees positions > p - window; 0: all.
  std::vector<std::int64_t> windows;
  std::int64_t n_experts = 0;            ///< 0: dense
  std::int64_t n_experts_per_token = 0;  ///< of a mixture: the best so many, weights renormalized to sum 1
  std::optional<std::int32_t> bos_id;
  std::vector<std::int32_t> eos_ids;  ///< any of these ends a generation
  std::string torch_dtype;            ///< as written: "bfloat16"; empty when absent

  [[nodiscard]] bool is_mixture() const noexcept { return n_experts > 0; }
  [[nodiscard]] std::int64_t q_dim() const noexcept { return n_heads * head_dim; }
  [[nodiscard]] std::int64_t kv_dim() const noexcept { return n_kv_heads * head_dim; }
};

/// Parses the text of a config.json; `name` stands first in errors.
/// Errors: kInvalidInput for what is malformed, kUnsupported for a valid model that is outside the family.
Result<ModelConfig> parse_model_config(std::string_view text, std::string_view name);

}  // namespace secondsource
