#include "bundle/quantize.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "backend/weights.h"
#include "core/check.h"
#include "core/half.h"
#include "core/vector_clones.h"

namespace secondsource {
namespace {

constexpr auto kGroup = static_cast<std::size_t>(kScaleGroupSize);
constexpr std::size_t kLanes = 8;
constexpr std::size_t kBlock = kLanes * kGroup;  ///< eight groups, so that each lane holds the scale of one
constexpr std::int32_t kInfinityBits = 0x7f800000;

/// The compilers' vector types let the same source compile to a few instructions on every machine.
using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));
using Ints = std::int32_t __attribute__((vector_size(kLanes * sizeof(std::int32_t))));

[[gnu::always_inline]] inline Floats load(const float* values) {
  Floats vector;
  std::memcpy(&vector, values, sizeof vector);
  return vector;
}

/// Returns magnitudes as integers, which compare like floats, with infinity and NaN above all finite values.
[[gnu::always_inline]] inline Ints magnitude_bits(Floats values) {
  return reinterpret_cast<Ints>(values) & 0x7fffffff;
}

[[gnu::always_inline]] inline Ints larger(Ints a, Ints b) {
  return a > b ? a : b;
}

/// For each lane, the largest magnitude of the group's values in that lane.
[[gnu::always_inline]] inline Ints largest_magnitudes(const float* group) {
  return larger(larger(magnitude_bits(load(group)), magnitude_bits(load(group + kLanes))),
                larger(magnitude_bits(load(group + 2 * kLanes)), magnitude_bits(load(group + 3 * kLanes))));
}

/// Lane g of the result is the largest lane of vectors[g].
[[gnu::always_inline]] inline Ints largest_lanes(const std::array<Ints, kLanes>& vectors) {
  std::array<Ints, 4> pairs;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const Ints a = vectors[2 * i];
    const Ints b = vectors[2 * i + 1];
    pairs[i] = larger(__builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13),
                      __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15));
  }
  std::array<Ints, 2> fours;
  for (std::size_t i = 0; i < fours.size(); ++i) {
    const Ints a = pairs[2 * i];
    const Ints b = pairs[2 * i + 1];
    fours[i] = larger(__builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13),
                      __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15));
  }
  return larger(__builtin_shufflevector(fours[0], fours[1], 0, 1, 2, 3, 8, 9, 10, 11),
                __builtin_shufflevector(fours[0], fours[1], 4, 5, 6, 7, 12, 13, 14, 15));
}

/// The largest magnitude of a row, as an integer.
[[gnu::always_inline]] inline std::int32_t largest_magnitude_bits(std::span<const float> row) {
  std::int32_t largest = 0;
  for (const float value : row) largest = std::max(largest, std::bit_cast<std::int32_t>(value) & 0x7fffffff);
  return largest;
}

/// The divisor for a scale. Dividing by infinity makes every finite value 0, as a scale of 0 requires.
[[gnu::always_inline]] inline float divisor_of(float scale) {
  return scale == 0.0F ? std::numeric_limits<float>::infinity() : scale;
}

/// Computes q = clamp(round-half-even(w / divisor), -limit, limit) for kGroup values.
[[gnu::always_inline]] inline void divide_and_round(const float* values, float divisor, std::int32_t limit,
                                                    std::int8_t* q) {
  // Adding 1.5 * 2^23 leaves no bits below one, so the addition itself rounds half to even, and the integer is in the
  // low bits of the sum. This holds for small ratios, and they are small: the scale is max|w| / limit rounded to a
  // number above zero, so a ratio is below twice the limit.
  constexpr float kRounder = 12582912.0F;
  std::array<std::int32_t, kGroup> rounded;
  for (std::size_t i = 0; i < kGroup; i += kLanes) {
    const Floats sums = load(values + i) / divisor + kRounder;
    std::memcpy(rounded.data() + i, &sums, sizeof sums);
  }
  const auto highest = static_cast<std::int16_t>(limit);
  const auto lowest = static_cast<std::int16_t>(-limit);
  for (std::size_t i = 0; i < kGroup; ++i) {
    const auto low_bits = static_cast<std::int16_t>(rounded[i]);
    q[i] = static_cast<std::int8_t>(std::min(std::max(low_bits, lowest), highest));
  }
}

/// Quantizes eight groups. Each has a scale that is rounded to FP16, and its values are divided by the rounded scale.
/// scales: [8].
[[gnu::always_inline]] inline bool quantize_block(const float* values, std::int32_t limit, std::int8_t* q,
                                                  float* scales) {
  std::array<Ints, kLanes> largest;
  for (std::size_t group = 0; group < kLanes; ++group) largest[group] = largest_magnitudes(values + group * kGroup);
  const Floats exact = reinterpret_cast<Floats>(largest_lanes(largest)) / static_cast<float>(limit);
  std::array<float, kLanes> rounded;
  std::memcpy(rounded.data(), &exact, sizeof exact);
  std::int32_t worst = 0;
  for (std::size_t group = 0; group < kLanes; ++group) {
    rounded[group] = round_to_f16(rounded[group]);
    worst = std::max(worst, std::bit_cast<std::int32_t>(rounded[group]));
  }
  if (worst >= kInfinityBits) return false;
  std::memcpy(scales, rounded.data(), sizeof rounded);
  for (std::size_t group = 0; group < kLanes; ++group) {
    divide_and_round(values + group * kGroup, divisor_of(rounded[group]), limit, q + group * kGroup);
  }
  return true;
}

[[gnu::always_inline]] inline bool quantize_groups(std::span<const float> row, std::int32_t limit,
                                                   std::span<std::int8_t> q, std::span<float> scales) {
  SS_CHECK(row.size() == q.size() && scales.size() == (row.size() + kGroup - 1) / kGroup, "one scale a group");
  std::size_t first = 0;
  for (; first + kBlock <= row.size(); first += kBlock) {
    if (!quantize_block(&row[first], limit, &q[first], &scales[first / kGroup])) return false;
  }
  if (first == row.size()) return true;
  // The last, incomplete block is filled up with zeros.
  std::array<float, kBlock> values{};
  std::array<std::int8_t, kBlock> block_q;
  std::array<float, kLanes> block_scales;
  std::copy(row.begin() + static_cast<std::ptrdiff_t>(first), row.end(), values.begin());
  if (!quantize_block(values.data(), limit, block_q.data(), block_scales.data())) return false;
  std::copy_n(block_q.begin(), row.size() - first, &q[first]);
  std::copy_n(block_scales.begin(), scales.size() - first / kGroup, &scales[first / kGroup]);
  return true;
}

}  // namespace

SS_VECTOR_CLONES RowScale quantize_row_int8(std::span<const float> row, std::span<std::int8_t> q) {
  SS_CHECK(row.size() == q.size(), "one q a value");
  const std::int32_t largest = largest_magnitude_bits(row);
  if (largest >= kInfinityBits) return {.finite = false};
  const float scale = std::bit_cast<float>(largest) / 127.0F;
  std::size_t first = 0;
  for (; first + kGroup <= row.size(); first += kGroup) {
    divide_and_round(&row[first], divisor_of(scale), 127, &q[first]);
  }
  if (first == row.size()) return {.finite = true, .scale = scale};
  std::array<float, kGroup> values{};
  std::array<std::int8_t, kGroup> last;
  std::copy(row.begin() + static_cast<std::ptrdiff_t>(first), row.end(), values.begin());
  divide_and_round(values.data(), divisor_of(scale), 127, last.data());
  std::copy_n(last.begin(), row.size() - first, &q[first]);
  return {.finite = true, .scale = scale};
}

SS_VECTOR_CLONES RowScale quantize_row_fp8(std::span<const float> row, std::span<E4m3> q) {
  SS_CHECK(row.size() == q.size(), "one q a value");
  const std::int32_t largest = largest_magnitude_bits(row);
  if (largest >= kInfinityBits) return {.finite = false};
  const float scale = std::bit_cast<float>(largest) / kE4m3Max;
  const float divisor = divisor_of(scale);
  for (std::size_t i = 0; i < row.size(); ++i) q[i] = to_e4m3(row[i] / divisor);
  if (scale == 0.0F) std::ranges::fill(q, E4m3{});  // and not -0
  return {.finite = true, .scale = scale};
}

SS_VECTOR_CLONES bool quantize_row_int8_groups(std::span<const float> row, std::span<std::int8_t> q,
                                               std::span<float> scales) {
  return quantize_groups(row, 127, q, scales);
}

SS_VECTOR_CLONES bool quantize_row_int4(std::span<const float> row, std::span<std::int8_t> q, std::span<float> scales) {
  return quantize_groups(row, 7, q, scales);
}

}  // namespace secondsource
