#pragma once
// The step of a product: a table of random inputs, and copies of one weight that multiply them.

#include <vector>

#include "backend/op.h"
#include "bench_case.h"

namespace secondsource::kernel_bench {

inline constexpr std::int32_t kMaxProductRows = 512;  ///< rows of the table of inputs
inline constexpr std::uint64_t kInputSeed = 7;        ///< of its RandomWeight

/// The stored scale of activations (Matmul::act_scale) for inputs with a standard deviation of 1, which puts values up to 8 in range; 0
/// where `act` has none.
[[nodiscard]] float scale_of_normal_inputs(ActQuant act);

/// Embed, which reads rows of `inputs`, then the product with each copy of the weight in turn. The inputs are scaled to a
/// standard deviation of 1. Value 1 is the result of the first copy.
[[nodiscard]] StepGraph product_graph(const MatmulShape& shape, ActQuant act, WeightId inputs,
                                      const std::vector<WeightId>& copies, std::int64_t n_columns);

/// The tolerance of the element of a row and a column, as a multiple of the product of their norms (row_norms()).
///
/// Rounding both inputs of a product to BF16 changes it by up to 2 u of its size, u = 2^-9. With independent roundings the
/// error of a sum of k products has a standard deviation of about 2 u |x| |w| / sqrt(k). A correct kernel stays within 8 of
/// them, its f32 sums included; a bug exceeds them. There is no division by sqrt(k) here, because the norms of the inputs
/// are taken before Embed multiplies the inputs by sqrt(k).
inline constexpr double kProductTolerance = 8.0 * 2.0 * 0x1p-9;

}  // namespace secondsource::kernel_bench
