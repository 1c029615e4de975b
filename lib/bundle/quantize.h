#pragma once
// The weight quantizers, one row at a time, as docs/bundle-format.md defines them. Inputs are the stored values, exact
// in f32. Ties round to even and all arithmetic is f32, so any IEEE implementation gives the same integers.

#include <cstdint>
#include <span>

#include "core/e4m3.h"

namespace secondsource {

/// One scale s for the whole row: s = max|w| / 127; q = clamp(round(w / s), -127, 127); s = 0 gives q = 0. Returns s,
/// or only `finite` = false if a value of the row is not finite; q is then not written.
struct RowScale {
  bool finite = true;
  float scale = 0.0F;
};
[[nodiscard]] RowScale quantize_row_int8(std::span<const float> row, std::span<std::int8_t> q);

/// One scale s for the whole row: s = max|w| / 448; q = w / s rounded to E4M3, half to even, at most 448; s = 0 gives q = 0.
/// Returns as quantize_row_int8() does.
[[nodiscard]] RowScale quantize_row_fp8(std::span<const float> row, std::span<E4m3> q);

/// Per group of 32 columns: s = FP16(max|w| / 127); q = clamp(round(w / s), -127, 127) with the rounded s; s = 0 gives
/// q = 0. scales: [ceil(row.size() / 32)], each exactly an FP16 value. Returns false if a value or a scale is not
/// finite. This is the format of Q8_0 in llama.cpp with the same scales. Its integers differ occasionally, by one if s
/// is a normal FP16 number, because llama.cpp multiplies w by 1 / s of the unrounded scale and rounds halves away from
/// zero (quantize_row_q8_0_ref in ggml-quants.c).
[[nodiscard]] bool quantize_row_int8_groups(std::span<const float> row, std::span<std::int8_t> q,
                                            std::span<float> scales);

/// Per group of 32 columns: s = FP16(max|w| / 7); q = clamp(round(w / s), -7, 7) with the rounded s; s = 0 gives q = 0.
/// scales: [ceil(row.size() / 32)], each exactly an FP16 value. Returns false if a value or a scale is not finite.
[[nodiscard]] bool quantize_row_int4(std::span<const float> row, std::span<std::int8_t> q, std::span<float> scales);

}  // namespace secondsource
