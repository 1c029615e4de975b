#pragma once
// Matmul with f64 sums, shared by the dense and the grouped operation.

#include <cstdint>
#include <span>
#include <vector>

#include "backend/op.h"
#include "core/matrix_view.h"

namespace secondsource::reference {

/// One row of activations as it is multiplied: x itself for kNone, else s * q, which is 0 where s is 0.
///   kInt8PerRow      s = max|x| / 127, q = clamp(round-half-even(x / s), +-127); kInt8Static: q from -128 to 127
///   kFp8PerRow       s = max|x| / 448, q = x / s rounded to E4M3; kFp8PerGroup128: the same in each group of 128 columns;
///                    kFp8PerGroup128E8m0: with s rounded up to a power of two
/// `act_scale`: the s of kInt8Static and kFp8Static, or g of kNvfp4Static; a row of these is NaN if any x is not finite.
void read_activations(std::span<const float> x, ActQuant act, float act_scale, std::span<double> out);

/// sums[row * n + i] = sum_k x[row, k] * weight[i, k], in the order of k, for n = weight.size() / x.cols() rows of the
/// weight. The order of the additions does not depend on the number of rows of x.
void multiply_rows(MatrixView<const double> x, std::span<const float> weight, std::span<double> sums);

/// sums: [N] of one row, gate rows first for the gated epilogues. out: [N] or [N / 2].
void apply_epilogue(Epilogue epilogue, std::span<const double> sums, std::span<const float> aux_or_bias,
                    std::span<double> out);

/// c * tanh(x / c) for c > 0, else x.
[[nodiscard]] double soft_cap(double x, float c);

}  // namespace secondsource::reference
