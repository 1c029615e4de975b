#pragma once
// The one place that says how far a result may be from the reference, and why.
//
// R is the reference. E is the reference with the roundings that a backend may make (BF16 matmul inputs, K, V, softmax
// weights), drawn kDraws times, each time on another grid (envelope.h). To first order E - R is a sum over roundings of
// (what the result gains by this one) * u * (a number in [-1, 1]), carried through everything that follows, which no
// formula does for a whole layer. A right backend's T - R is such a sum too, over some of the same roundings. So the
// draws say how large T - R may be. A value T passes when
//   each element:  |T - R| <= kElementFactor * (own + spread) + floor
//   all together:  rms(T - R) <= kRmsFactor * largest * largest / smallest + floor
// own is the root mean square over the draws of E - R at the element; spread, the largest of the root mean squares of
// own over the element's row, its column and the whole value, takes care of elements where all draws are small by luck.
// largest and smallest are rms(E - R) of the single draws: nearly equal for a value of many independent errors, and far
// apart where a few dominate, so that the second test, which is there to catch a small bug everywhere, is sharp in one
// case and leaves the other to the first. Both factors are measured, by tolerance_study.py: of 5e7 elements of gated
// products, whose errors are as uneven as products of two rounded factors make them, none needed more than 5.3, and no
// root mean square more than 1.1.
// floor is f32 accumulation (u_acc = 2^-24) and f32 functions: kFloorUnits * u_acc * (|R| + rms(R)). Where the inputs
// of a case are exact in BF16, or quantized, all draws equal R and the floor is all that is left.
//
// NaN and infinity are the same here: where R is not finite, T must not be, and nowhere else (docs/correctness.md).

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

/// Unit roundoff of a stored type: 2^-8 for bf16, 2^-11 for f16, 2^-24 for f32.
[[nodiscard]] double unit_roundoff(DType dtype);

/// One value of T, R or a draw of E: rows x cols, row-major.
using Values = std::span<const float>;

/// Nothing when `tested` is close enough to `expected`; else the worst element, how many are outside, and both rms.
/// Without draws the floor alone counts. `zero_rows_are_exact`: where a whole row of R and every draw is 0, T must be 0
/// (cache slots that nobody wrote).
[[nodiscard]] std::optional<std::string> compare_values(Values tested, Values expected, std::span<const Values> draws,
                                                        std::int64_t cols, bool zero_rows_are_exact = false);

/// Compares every observed value, the tokens and the whole cache of two traces of one case. `kv_dtype` is the type of
/// the tested cache.
[[nodiscard]] std::optional<std::string> compare_traces(const Case& c, DType kv_dtype, const CaseTrace& tested,
                                                        const CaseTrace& expected, std::span<const CaseTrace> draws);

}  // namespace secondsource::conformance
