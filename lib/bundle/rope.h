#pragma once
// The inverse frequencies of a rotary embedding, with the ways of stretching the context that Llama-family models use.
// Formulas as in transformers' modeling_rope_utils.py (Apache-2.0), which its snapshots in the tests pin down.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

enum class RopeType : std::uint8_t { kDefault, kLinear, kDynamic, kYarn, kLlama3 };

/// "default", "linear", "dynamic", "yarn", "llama3": the names in config.json.
[[nodiscard]] std::string_view to_string(RopeType type);
[[nodiscard]] std::optional<RopeType> rope_type_from_name(std::string_view name);

/// What config.json says about the rotary embedding. Fields that a type does not use keep their defaults.
struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000.0;
  double factor = 1.0;                       ///< all but kDefault
  std::int64_t original_max_seq_len = 0;     ///< kYarn, kLlama3: length of the pretraining
  double low_freq_factor = 1.0;              ///< kLlama3
  double high_freq_factor = 4.0;             ///< kLlama3
  double beta_fast = 32.0;                   ///< kYarn
  double beta_slow = 1.0;                    ///< kYarn
  bool truncate = true;                      ///< kYarn: correction range in whole dimensions
  std::optional<double> attention_factor{};  ///< kYarn; else from factor and the two mscales
  double mscale = 0.0;                       ///< kYarn; 0: not given
  double mscale_all_dim = 0.0;               ///< kYarn; 0: not given
};

struct RopeTable {
  std::vector<float> inv_freq;    ///< [head_dim / 2]; angle of pair i at a position = position * inv_freq[i]
  float attention_factor = 1.0F;  ///< cos and sin are multiplied by it
};

struct RopeLengths {
  std::int64_t max_seq_len = 0;  ///< max_position_embeddings
  /// Longest sequence that the table is for. kDynamic alone depends on it, and only beyond max_seq_len.
  std::int64_t seq_len = 0;
};

/// The table for heads of `head_dim` (even, > 2) elements.
[[nodiscard]] RopeTable make_rope_table(const RopeConfig& rope, std::int64_t head_dim, RopeLengths lengths);

}  // namespace secondsource
