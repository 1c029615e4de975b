#pragma once
// What is benchmarked: products and attention at the shapes of known models.

#include <cstdint>
#include <string>
#include <vector>

#include "backend/op.h"
#include "backend/weights.h"
#include "core/result.h"

namespace secondsource {

/// A weight format together with what happens to the activations, by the names of the bundle's variants.
struct ProductVariant {
  std::string name;
  WeightEncoding encoding;
  ActQuant act;
};
[[nodiscard]] const std::vector<ProductVariant>& all_variants();

/// x [m, k] times a weight [n, k].
struct MatmulShape {
  std::string model;
  std::string role;  ///< "qkv", "o", "gate_up", "down", "head"
  std::int64_t k = 0;
  std::int64_t n = 0;
};

/// One of the two products of a mixture's experts (op.h's GroupedMatmul): each has a weight [n, k], and multiplies the
/// rows of x that a router gave it, n_top experts a row.
struct MixtureShape {
  std::string model;
  bool is_second = false;  ///< the one that adds up a row's experts
  std::int64_t k = 0;
  std::int64_t n = 0;
  std::int32_t n_experts = 0;
  std::int32_t n_top = 0;
};

/// n_seqs sequences, each with n_queries new tokens after a cache of n_cached tokens in all.
struct AttentionShape {
  std::string model;
  HeadShape heads;
  std::int32_t n_seqs = 1;
  std::int32_t n_queries = 1;
  std::int32_t n_cached = 0;
};

/// Distinct products of the named models (bundles/shapes). Errors: kInvalidInput.
Result<std::vector<MatmulShape>> matmul_shapes(const std::vector<std::string>& models, bool with_heads);
/// Both products of those models that are mixtures.
Result<std::vector<MixtureShape>> mixture_shapes(const std::vector<std::string>& models);
Result<std::vector<AttentionShape>> attention_shapes(const std::vector<std::string>& models);

}  // namespace secondsource
