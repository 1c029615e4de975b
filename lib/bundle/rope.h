#pragma once
// The inverse frequencies of a rotary embedding, with the context extensions that Llama-family models use. The formulas
// follow transformers' modeling_rope_utils.py (Apache-2.0); the tests compare with recorded values of it.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "backend/op.h"
#include "core/result.h"

namespace secondsource {

enum class RopeType : std::uint8_t { kDefault, kLinear, kDynamic, kYarn, kLlama3, kLongRope };

/// "default", "linear", "dynamic", "yarn", "llama3" or "longrope", as in config.json.
[[nodiscard]] std::string_view to_string(RopeType type);
[[nodiscard]] std::optional<RopeType> rope_type_from_name(std::string_view name);

/// The settings of the rotary embedding in config.json. Fields that a type does not use keep their defaults.
struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000.0;
  double factor = 1.0;                       ///< used by all types except kDefault
  std::int64_t original_max_seq_len = 0;     ///< kYarn, kLlama3, kLongRope: context length of the pretraining
  double low_freq_factor = 1.0;              ///< kLlama3
  double high_freq_factor = 4.0;             ///< kLlama3
  double beta_fast = 32.0;                   ///< kYarn
  double beta_slow = 1.0;                    ///< kYarn
  bool truncate = true;                      ///< kYarn: round the correction range to whole dimensions
  std::optional<double> attention_factor{};  ///< kYarn, kLongRope; if absent, computed from factor and mscales
  double mscale = 0.0;                       ///< kYarn; 0 if not given
  double mscale_all_dim = 0.0;               ///< kYarn; 0 if not given
  /// How much queries grow with each original_max_seq_len positions (Ministral 3: llama_4_scaling_beta); 0: not at all
  double query_beta = 0.0;
  /// kLongRope: [rotary_dim / 2], the divisors of the frequencies, for up to original_max_seq_len tokens and beyond
  std::vector<double> short_factors{};
  std::vector<double> long_factors{};
};

struct RopeTable {
  std::vector<float> inv_freq;    ///< one per pair: the angle of pair i at a position is position * inv_freq[i]
  float attention_factor = 1.0F;  ///< cos and sin are multiplied by it
  QueryGrowth query_growth = {};
};

struct RopeLengths {
  std::int64_t max_seq_len = 0;  ///< max_position_embeddings
  /// Longest sequence for which the table is used. Only kDynamic and kLongRope depend on it, kDynamic only beyond
  /// max_seq_len.
  std::int64_t seq_len = 0;
};

/// Computes the table for a rotation of `rotary_dim` (even, > 2) elements of a head.
[[nodiscard]] RopeTable make_rope_table(const RopeConfig& rope, std::int64_t rotary_dim, RopeLengths lengths);

}  // namespace secondsource
