#pragma once
// What is benchmarked: the axes of products and attention at the shapes of known models.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "axes.h"
#include "backend/op.h"
#include "backend/weights.h"
#include "core/result.h"

namespace secondsource::kernel_bench {

/// A weight format and the treatment of the activations, under the name of the bundles' variant.
struct ProductVariant {
  std::string name;
  WeightEncoding encoding;
  ActQuant act;
};
[[nodiscard]] const std::vector<ProductVariant>& all_variants();
/// The variant of a row; `name` is one of all_variants().
[[nodiscard]] const ProductVariant& variant_named(std::string_view name);

/// x [m, k] times a weight [n, k].
struct MatmulShape {
  std::int64_t k = 0;
  std::int64_t n = 0;
};

/// One of the two products of a mixture's experts (GroupedMatmul in backend/op.h): each expert has a weight [n, k] and
/// multiplies the rows of x that the router gave it. A row goes to n_top experts.
struct MixtureShape {
  bool is_second = false;  ///< the product that also adds up the results of a row's experts
  std::int64_t k = 0;
  std::int64_t n = 0;
  std::int32_t n_experts = 0;
  std::int32_t n_top = 0;
};

/// n_seqs sequences, each with n_queries new tokens at the end of a cache of n_cached tokens in all.
struct AttentionShape {
  HeadShape heads;
  std::int32_t n_seqs = 1;
  std::int32_t n_queries = 1;
  std::int32_t n_cached = 0;
};

/// The axes of the named models (bundles/shapes), without target and dtypes: the distinct products with these row
/// counts, `with_heads` with the vocabulary projections. Errors: kInvalidInput.
Result<BenchAxes> matmul_axes(const std::vector<std::string>& models, const std::vector<std::int32_t>& rows,
                              bool with_heads);
/// The same for both products of those models that are mixtures; no rows if none is.
Result<BenchAxes> mixture_axes(const std::vector<std::string>& models, const std::vector<std::int32_t>& rows);
Result<BenchAxes> attention_axes(const std::vector<std::string>& models);

[[nodiscard]] MatmulShape matmul_shape(const BenchCase& row);
[[nodiscard]] MixtureShape mixture_shape(const BenchCase& row);
[[nodiscard]] AttentionShape attention_shape(const BenchCase& row);
/// "m", the row count of a product.
[[nodiscard]] std::int32_t row_count(const BenchCase& row);

}  // namespace secondsource::kernel_bench
