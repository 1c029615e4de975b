#include "bundle/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "backend/weights.h"
#include "core/check.h"
#include "core/half.h"

// The same source once more for the wider vectors of AVX2, chosen when the program is loaded: element by element the
// same IEEE operations, so the same integers. Sanitizers do not get along with that choice.
#if defined(__x86_64__) && defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__clang__)
#define SS_ALSO_FOR_AVX2 __attribute__((target_clones("avx2", "default")))
#else
#define SS_ALSO_FOR_AVX2
#endif

namespace secondsource {
namespace {

/// The bits of max|w|. As integers, magnitudes order like floats, with infinity and NaN above all finite values.
[[gnu::always_inline]] inline std::uint32_t largest_magnitude_bits(std::span<const float> values) {
  std::uint32_t largest = 0;
  for (const float value : values) largest = std::max(largest, std::bit_cast<std::uint32_t>(value) & 0x7fffffffU);
  return largest;
}

constexpr std::uint32_t kInfinityBits = 0x7f800000U;

/// q = clamp(round-half-even(w / s), -limit, limit)
[[gnu::always_inline]] inline void divide_and_round(std::span<const float> values, float scale, std::int32_t limit,
                                                    std::span<std::int8_t> q) {
  if (scale == 0.0F) {
    std::fill(q.begin(), q.end(), std::int8_t{0});
    return;
  }
  // Adding 1.5 * 2^23 leaves no bits below one, so the addition itself rounds half to even; std::nearbyint would do
  // the same but does not vectorize, as a clamp of floats does not. The scale is max|w| / limit rounded to a number
  // above zero, so a ratio is below twice the limit, where the trick holds and integers can be clamped instead.
  constexpr float kRounder = 12582912.0F;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto rounded = static_cast<std::int32_t>((values[i] / scale + kRounder) - kRounder);
    q[i] = static_cast<std::int8_t>(std::min(std::max(rounded, -limit), limit));
  }
}

}  // namespace

SS_ALSO_FOR_AVX2 RowScale quantize_row_int8(std::span<const float> row, std::span<std::int8_t> q) {
  SS_CHECK(row.size() == q.size(), "one q a value");
  const std::uint32_t largest = largest_magnitude_bits(row);
  if (largest >= kInfinityBits) return {.finite = false};
  const float scale = std::bit_cast<float>(largest) / 127.0F;
  divide_and_round(row, scale, 127, q);
  return {.finite = true, .scale = scale};
}

namespace {

/// Groups of 32 with a scale in FP16 each, by which they are divided as it was rounded.
[[gnu::always_inline]] inline bool quantize_groups(std::span<const float> row, std::int32_t limit,
                                                   std::span<std::int8_t> q, std::span<float> scales) {
  constexpr auto kGroup = static_cast<std::size_t>(kScaleGroupSize);
  SS_CHECK(row.size() == q.size() && scales.size() == (row.size() + kGroup - 1) / kGroup, "one scale a group");
  for (std::size_t group = 0; group < scales.size(); ++group) {
    const std::size_t first = group * kGroup;
    const std::size_t count = std::min(kGroup, row.size() - first);
    const std::span<const float> values = row.subspan(first, count);
    const std::uint32_t largest = largest_magnitude_bits(values);
    const float scale = round_to_f16(std::bit_cast<float>(largest) / static_cast<float>(limit));
    if (largest >= kInfinityBits || std::isinf(scale)) return false;
    divide_and_round(values, scale, limit, q.subspan(first, count));
    scales[group] = scale;
  }
  return true;
}

}  // namespace

SS_ALSO_FOR_AVX2 bool quantize_row_int8_groups(std::span<const float> row, std::span<std::int8_t> q,
                                               std::span<float> scales) {
  return quantize_groups(row, 127, q, scales);
}

SS_ALSO_FOR_AVX2 bool quantize_row_int4(std::span<const float> row, std::span<std::int8_t> q, std::span<float> scales) {
  return quantize_groups(row, 7, q, scales);
}

}  // namespace secondsource
