#pragma once
// The one place that says how far a result may be from the reference, and why.
//
// R is the reference, E the reference with the roundings that a backend may make (BF16 matmul inputs, K, V, softmax
// weights). For a product of k terms, |error| <= about (k * u_acc + 2 * u_in) * sum|a_i * b_i|. E - R is a draw of the
// second part from the data itself, carried through everything that follows, which no formula does for a whole layer.
// A value T passes when
//   each element:  |T - R| <= kElementFactor * (|E - R| + spread) + floor
//   all together:  rms(T - R) <= kRmsFactor * rms(E - R) + floor
// spread is the largest of the root mean squares of E - R over the element's row, its column and the whole value, and
// of |R| * rms(E - R) / rms(R), which is what a product of two rounded factors (a gated epilogue) makes of large
// elements: one element of E - R may be 0 by luck. The second test is what catches a small bug everywhere. floor is the
// first part of the formula, f32 accumulation (u_acc = 2^-24): kFloorUnits * u_acc * (|R| + rms(R)). Where E = R
// (embedding, norms, RoPE, quantized activations), the floor is all that is left.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "conformance/case.h"

namespace secondsource::conformance {

inline constexpr double kElementFactor = 8.0;
inline constexpr double kRmsFactor = 2.0;
inline constexpr double kFloorUnits = 128.0;
inline constexpr double kUnitRoundoffF32 = 0x1p-24;

/// Unit roundoff of a stored type: 2^-8 for bf16, 2^-11 for f16, 2^-24 for f32.
[[nodiscard]] double unit_roundoff(DType dtype);

/// Nothing when `tested` is close enough to `expected`; else the worst element, how many are outside, and both rms.
/// rows x cols values each. `zero_is_exact`: where R is 0, T must be 0 (cache slots that nobody wrote).
[[nodiscard]] std::optional<std::string> compare_values(std::span<const float> tested, std::span<const float> expected,
                                                        std::span<const float> envelope, std::int64_t cols,
                                                        bool zero_is_exact = false);

/// Compares every observed value, the tokens and the whole cache of two traces of one case.
[[nodiscard]] std::optional<std::string> compare_traces(const Case& c, const CaseTrace& tested,
                                                        const CaseTrace& expected, const CaseTrace& envelope);

}  // namespace secondsource::conformance
