#pragma once
// The only place that defines how far a result may be from the reference, and why.
//
// R is the reference. E is the reference with the roundings that a backend may make (BF16 matmul inputs, K, V, softmax
// weights). It is drawn kDraws times, each time on another grid (envelope.h). To first order, E - R is a sum over all
// roundings of (gain of the result by this rounding) * u * (a number in [-1, 1]), propagated through all following
// operations, for which there is no formula for a whole layer. T - R of a correct backend is such a sum too, over some
// of the same roundings. The draws therefore show how large T - R may be. A value T passes when
//   each element:  |T - R| <= kElementFactor * (own + spread) + floor
//   all together:  rms(T - R) <= kRmsFactor * largest * largest / smallest + floor
//
// `own` is the root mean square of E - R at the element over the draws. `spread` is the largest root mean square of
// `own` over the element's row, its column and the whole value; it covers elements at which all draws are small by
// chance. `largest` and `smallest` are the largest and smallest rms(E - R) of a single draw. They are nearly equal for
// a value with many independent errors, and far apart where a few errors dominate. The second test, which is to find a
// small error in all elements, is therefore strict in the first situation and leaves the second one to the first test.
//
// Both factors were measured with tolerance_study.py: of 5e7 elements of gated matmuls, whose errors are as uneven as
// products of two rounded factors make them, none needed a factor of more than 5.3, and no root mean square more than
// 1.1.
//
// `floor` covers f32 accumulation (u_acc = 2^-24) and f32 functions: kFloorUnits * u_acc * (|R| + rms(R)). If the inputs of
// a case are exact in BF16 or quantized, the draws differ from R only by the errors of sums in f32. They are still needed,
// because the floor is too small if a sum cancels and is then soft-capped or multiplied by another sum.
//
// NaN and infinity are treated alike: where R is not finite, T must not be finite either, and everywhere else T must be
// finite (docs/correctness.md).

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "conformance/case.h"

namespace secondsource::conformance {

inline constexpr int kDraws = 8;
inline constexpr double kElementFactor = 6.0;
inline constexpr double kRmsFactor = 1.5;
inline constexpr double kFloorUnits = 128.0;
inline constexpr double kUnitRoundoffF32 = 0x1p-24;

/// Unit roundoff of a storage type: 2^-8 for bf16, 2^-11 for f16, 2^-24 for f32.
[[nodiscard]] double unit_roundoff(DType dtype);

/// One value of T, R or a draw of E, rows x cols in row-major order.
using Values = std::span<const float>;

/// Returns nullopt when `tested` is within the tolerance of `expected`; otherwise the worst element, the number of
/// elements outside, and both root mean squares. Without draws, only the floor is allowed. With `zero_rows_are_exact`,
/// T must be 0 where a whole row of R and of every draw is 0 (cache slots that were never written).
[[nodiscard]] std::optional<std::string> compare_values(Values tested, Values expected, std::span<const Values> draws,
                                                        std::int64_t cols, bool zero_rows_are_exact = false);

/// Compares every observed value, the tokens and the whole cache of two traces of one case. `kv_dtype` is the type of
/// the tested cache.
[[nodiscard]] std::optional<std::string> compare_outputs(const Case& c, DType kv_dtype, const CaseOutputs& tested,
                                                         const CaseOutputs& expected,
                                                         std::span<const CaseOutputs> draws);

}  // namespace secondsource::conformance
