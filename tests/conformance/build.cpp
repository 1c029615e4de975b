#include "conformance/build.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/check.h"
#include "core/checked.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/four_bit_curve.h"
#include "core/half.h"

namespace secondsource::conformance {
namespace {

/// Encoded rows in memory. Rejects requests that a backend must not make.
class MemorySource final : public WeightSource {
 public:
  MemorySource(std::vector<std::byte> values, std::vector<float> scales, std::int64_t n_rows)
      : values_(std::move(values)), scales_(std::move(scales)), n_rows_(n_rows) {}

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    const std::size_t row_bytes = values_.size() / static_cast<std::size_t>(n_rows_);
    const std::size_t row_scales = scales_.size() / static_cast<std::size_t>(n_rows_);
    const auto first = static_cast<std::size_t>(first_row);
    const auto n = static_cast<std::size_t>(n_rows);
    if (first_row < 0 || n_rows < 0 || first_row + n_rows > n_rows_ || values.size() != n * row_bytes ||
        scales.size() != n * row_scales || values.size() > (std::size_t{64} << 20)) {
      return Error{ErrorCode::kInternal, "the backend asked for rows that are not there, or for too much at once"};
    }
    std::copy_n(values_.begin() + static_cast<std::ptrdiff_t>(first * row_bytes), n * row_bytes, values.begin());
    std::copy_n(scales_.begin() + static_cast<std::ptrdiff_t>(first * row_scales), n * row_scales, scales.begin());
    return {};
  }

 private:
  std::vector<std::byte> values_;
  std::vector<float> scales_;
  std::int64_t n_rows_;
};

template <typename T>
void store(std::vector<std::byte>& bytes, T value) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof(T));
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}

/// Quantizes one row as w[k] = scale * q[k], with one scale per `group` columns. In every third group the code -largest_q is replaced by
/// -(largest_q + 1), which this project's quantizers never produce but published weights contain.
void quantize_row(std::span<const float> row, std::int64_t group, float largest_q, bool half_scale,
                  std::vector<std::byte>& values, std::vector<float>& scales) {
  for (std::size_t begin = 0; begin < row.size(); begin += static_cast<std::size_t>(group)) {
    const auto part = row.subspan(begin, std::min<std::size_t>(static_cast<std::size_t>(group), row.size() - begin));
    float largest = 0.0F;
    for (const float w : part) largest = std::max(largest, std::fabs(w));
    float scale = largest / largest_q;
    if (half_scale) scale = round_to_f16(scale);
    scales.push_back(scale);
    const bool has_least = scales.size() % 3 == 0;
    for (const float w : part) {
      const float q = scale == 0.0F ? 0.0F : std::clamp(std::nearbyint(w / scale), -largest_q, largest_q);
      store(values, static_cast<std::int8_t>(has_least && q == -largest_q ? q - 1.0F : q));
    }
  }
}

/// The exponent e such that E4M3 numbers near `value` are 2^(e - 3) apart. Subnormal numbers are spaced as those of the
/// smallest exponent, -6.
int e4m3_exponent(float value) {
  return value == 0.0F ? -6 : std::max(std::ilogb(value), -6);
}

/// The nearest E4M3 number, ties to even. Written from the type's definition, independently of core/e4m3.h.
float nearest_e4m3(float value) {
  const float place = std::ldexp(1.0F, e4m3_exponent(value) - 3);
  return std::clamp(std::nearbyint(value / place) * place, -448.0F, 448.0F);
}

/// Quantizes one row as w[k] = scale * q[k] with q in E4M3.
void quantize_row_fp8(std::span<const float> row, std::vector<std::byte>& values, std::vector<float>& scales) {
  float largest = 0.0F;
  for (const float w : row) largest = std::max(largest, std::fabs(w));
  const float scale = largest / 448.0F;
  scales.push_back(scale);
  for (const float w : row) {
    const float q = scale == 0.0F ? 0.0F : std::fabs(nearest_e4m3(w / scale));
    const int exponent = e4m3_exponent(q);
    // The magnitude in eighths of 2^exponent: 8 to 15 for a normal number, whose leading bit is not stored, and 0 to 7 for a subnormal one.
    const int eighths = static_cast<int>(std::ldexp(q, 3 - exponent));
    const int code = eighths < 8 ? eighths : (exponent + 7) * 8 + eighths - 8;
    store(values, static_cast<std::uint8_t>(code + (std::signbit(w) ? 128 : 0)));
  }
}

/// Quantizes to INT4 with a scale and a zero point for each group: s = (max - min) / 15 in FP16, where the range is extended to contain 0,
/// and zero = round(-min / s) - 8.
void quantize_row_with_zeros(std::span<const float> w, std::vector<std::byte>& values, std::vector<float>& scales) {
  std::vector<float> zeros;
  for (std::size_t first = 0; first < w.size(); first += kScaleGroupSize) {
    const auto group = w.subspan(first, std::min<std::size_t>(kScaleGroupSize, w.size() - first));
    const float least = std::min(0.0F, *std::ranges::min_element(group));
    const float largest = std::max(0.0F, *std::ranges::max_element(group));
    const float scale = round_to_f16((largest - least) / 15.0F);
    const float zero = scale == 0.0F ? 0.0F : std::clamp(std::nearbyint(-least / scale), 0.0F, 15.0F) - 8.0F;
    for (const float value : group) {
      const float q = scale == 0.0F ? zero : std::clamp(std::nearbyint(value / scale) + zero, -8.0F, 7.0F);
      store(values, static_cast<std::int8_t>(q));
    }
    scales.push_back(scale);
    zeros.push_back(zero);
  }
  scales.insert(scales.end(), zeros.begin(), zeros.end());
}

/// The E2M1 number nearest to a value of at most 6 in magnitude.
E2m1 nearest_e2m1(float value) {
  E2m1 nearest;
  for (std::uint8_t bits = 0; bits < 16; ++bits) {
    const E2m1 code{bits};
    if (std::signbit(to_float(code)) != std::signbit(value)) continue;
    const float distance = std::fabs(to_float(code) - value);
    if (bits % 8 == 0 || distance < std::fabs(to_float(nearest) - value)) nearest = code;
  }
  return nearest;
}

/// Quantizes to MXFP4: the scale of each group is the smallest power of two with which no code exceeds 6.
void quantize_row_mxfp4(std::span<const float> w, std::vector<std::byte>& values, std::vector<float>& scales) {
  for (std::size_t first = 0; first < w.size(); first += kScaleGroupSize) {
    const auto group = w.subspan(first, std::min<std::size_t>(kScaleGroupSize, w.size() - first));
    float largest = 0.0F;
    for (const float value : group) largest = std::max(largest, std::fabs(value));
    const float scale = largest == 0.0F ? 1.0F : std::exp2(std::ceil(std::log2(largest / kE2m1Max)));
    for (const float value : group) store(values, nearest_e2m1(value / scale));
    scales.push_back(scale);
  }
}

/// Quantizes to NVFP4. The row's scale is chosen so that no group's scale exceeds 256. The scale of a group is the E4M3 number nearest to
/// the one that maps its largest value to 6. Scales that are powers of two are reproduced exactly.
void quantize_row_nvfp4(std::span<const float> w, std::vector<std::byte>& values, std::vector<float>& scales) {
  const auto largest_of = [](std::span<const float> part) {
    float largest = 0.0F;
    for (const float value : part) largest = std::max(largest, std::fabs(value));
    return largest;
  };
  const float of_row = largest_of(w) / kE2m1Max / 256.0F;
  const float global = of_row == 0.0F ? 1.0F : of_row;
  scales.push_back(global);
  for (std::size_t first = 0; first < w.size(); first += kNvfp4GroupSize) {
    const auto group = w.subspan(first, std::min<std::size_t>(kNvfp4GroupSize, w.size() - first));
    const float scale = nearest_e4m3(largest_of(group) / kE2m1Max / global);
    for (const float value : group) {
      const float q = scale == 0.0F ? 0.0F : std::clamp(value / (scale * global), -kE2m1Max, kE2m1Max);
      store(values, nearest_e2m1(q));
    }
    scales.push_back(scale);
  }
}

/// The FP16 unit for scales that are stored as integers up to `most`, when the largest scale is `largest`. If that is a power of two, so
/// is the unit, and scales that are powers of two are represented exactly.
float unit_of(float largest, float most) {
  if (largest == 0.0F) return 0.0F;
  int exponent = 0;
  if (std::frexp(largest, &exponent) == 0.5F) return std::exp2(std::ceil(std::log2(largest / most)));
  return round_to_f16(largest / most);
}

/// The range of codes, and of the integers that store scales of parts, that the tests use for an encoding in blocks.
struct BlockCodes {
  float largest = 0.0F;        ///< largest code. The least is 0 in encodings with minima, and about -largest in others
  float largest_whole = 0.0F;  ///< largest integer that stores the scale or the minimum of a part
  bool has_signed_parts = false;
  bool is_on_curve = false;
};

BlockCodes block_codes(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kQ2K:
      return {.largest = 3.0F, .largest_whole = 15.0F};
    case WeightEncoding::kQ3K:
      return {.largest = 3.0F, .largest_whole = 31.0F, .has_signed_parts = true};
    case WeightEncoding::kQ4K:
      return {.largest = 15.0F, .largest_whole = 63.0F};
    case WeightEncoding::kQ5K:
      return {.largest = 31.0F, .largest_whole = 63.0F};
    case WeightEncoding::kQ6K:
      return {.largest = 31.0F, .largest_whole = 127.0F, .has_signed_parts = true};
    case WeightEncoding::kIq4Xs:
      return {.largest = 127.0F, .largest_whole = 31.0F, .has_signed_parts = true, .is_on_curve = true};
    case WeightEncoding::kQ41:
    case WeightEncoding::kQ50:
      return {.largest = 15.0F};
    case WeightEncoding::kQ51:
      return {.largest = 31.0F};
    case WeightEncoding::kIq4Nl:
      return {.largest = 127.0F, .is_on_curve = true};
    default:
      return {};
  }
}

/// The number in the table of IQ4 codes that is nearest to `value`.
float nearest_on_curve(float value) {
  float nearest = kFourBitCurve.front();
  for (const std::int8_t number : kFourBitCurve) {
    if (std::fabs(static_cast<float>(number) - value) < std::fabs(nearest - value)) nearest = number;
  }
  return nearest;
}

/// The sign of the scale of part `part` of a block: negative in every other part if the encoding has signed scales.
float sign_of_part(const BlockCodes& codes, std::size_t part) {
  return codes.has_signed_parts && part % 2 == 1 ? -1.0F : 1.0F;
}

/// Quantizes to an encoding in blocks without minima. A part's scale is max|w| / largest, rounded to a multiple of the block's unit if the
/// block has several parts.
void quantize_row_in_blocks(std::span<const float> w, WeightEncoding encoding, std::vector<std::byte>& values,
                            std::vector<float>& scales) {
  const BlockForm form = block_form(encoding);
  const BlockCodes codes = block_codes(encoding);
  const auto part_cols = static_cast<std::size_t>(form.n_parts() > 0 ? form.part_cols : form.n_cols);
  for (std::size_t first = 0; first < w.size(); first += static_cast<std::size_t>(form.n_cols)) {
    const auto block = w.subspan(first, static_cast<std::size_t>(form.n_cols));
    std::vector<float> wanted;
    for (std::size_t at = 0; at < block.size(); at += part_cols) {
      float largest = 0.0F;
      for (const float value : block.subspan(at, part_cols)) largest = std::max(largest, std::fabs(value));
      wanted.push_back(largest / codes.largest);
    }
    const float unit =
        form.n_parts() > 0 ? unit_of(*std::ranges::max_element(wanted), codes.largest_whole) : round_to_f16(wanted[0]);
    scales.push_back(unit);
    for (std::size_t part = 0; part < wanted.size(); ++part) {
      float scale = unit;
      if (form.n_parts() > 0) {
        const float whole = unit == 0.0F ? 0.0F : std::nearbyint(wanted[part] / unit);
        scales.push_back(sign_of_part(codes, part) * std::clamp(whole, 0.0F, codes.largest_whole));
        scale *= scales.back();
      }
      for (const float value : block.subspan(part * part_cols, part_cols)) {
        const float q = scale == 0.0F ? 0.0F : value / scale;
        const float code = codes.is_on_curve ? nearest_on_curve(q)
                                             : std::clamp(std::nearbyint(q), -codes.largest - 1.0F, codes.largest);
        store(values, static_cast<std::int8_t>(code));
      }
    }
  }
}

/// Quantizes to an encoding in blocks with minima. A part's scale is (max - min) / largest, where the range is extended to contain 0. The
/// scale and the minimum are rounded to multiples of the block's units if the block has several parts.
void quantize_row_with_minima(std::span<const float> w, WeightEncoding encoding, std::vector<std::byte>& values,
                              std::vector<float>& scales) {
  const BlockForm form = block_form(encoding);
  const BlockCodes codes = block_codes(encoding);
  const bool has_parts = form.n_parts() > 0;
  const auto part_cols = static_cast<std::size_t>(has_parts ? form.part_cols : form.n_cols);
  for (std::size_t first = 0; first < w.size(); first += static_cast<std::size_t>(form.n_cols)) {
    const auto block = w.subspan(first, static_cast<std::size_t>(form.n_cols));
    std::vector<float> wanted;
    std::vector<float> leasts;
    for (std::size_t at = 0; at < block.size(); at += part_cols) {
      const auto of_part = block.subspan(at, part_cols);
      leasts.push_back(-std::min(0.0F, *std::ranges::min_element(of_part)));
      wanted.push_back((std::max(0.0F, *std::ranges::max_element(of_part)) + leasts.back()) / codes.largest);
    }
    // In exact cases all scales are the same power of two, and minima are small multiples of it. A quarter of it is the minima's unit.
    int exponent = 0;
    const bool is_exact = std::frexp(wanted[0], &exponent) == 0.5F;
    float unit = round_to_f16(wanted[0]);
    float least_unit = round_to_f16(leasts[0]);
    if (has_parts) {
      unit = unit_of(*std::ranges::max_element(wanted), codes.largest_whole);
      least_unit = is_exact ? wanted[0] / 4.0F : unit_of(*std::ranges::max_element(leasts), codes.largest_whole);
    }
    const auto whole = [&](float value, float in_units_of) {
      return in_units_of == 0.0F ? 0.0F : std::clamp(std::nearbyint(value / in_units_of), 0.0F, codes.largest_whole);
    };
    std::vector<float> whole_scales;
    std::vector<float> whole_leasts;
    for (std::size_t part = 0; part < wanted.size(); ++part) {
      float scale = unit;
      float least = least_unit;
      if (has_parts) {
        whole_scales.push_back(whole(wanted[part], unit));
        whole_leasts.push_back(whole(leasts[part], least_unit));
        scale *= whole_scales.back();
        least *= whole_leasts.back();
      }
      for (const float value : block.subspan(part * part_cols, part_cols)) {
        const float q = scale == 0.0F ? 0.0F : std::nearbyint((value + least) / scale);
        store(values, static_cast<std::int8_t>(std::clamp(q, 0.0F, codes.largest)));
      }
    }
    scales.push_back(unit);
    scales.push_back(least_unit);
    scales.insert(scales.end(), whole_scales.begin(), whole_scales.end());
    scales.insert(scales.end(), whole_leasts.begin(), whole_leasts.end());
  }
}

std::shared_ptr<const WeightSource> encode(std::span<const float> values, std::int64_t n_rows, std::int64_t n_cols,
                                           WeightEncoding encoding) {
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  for (std::int64_t row = 0; row < n_rows; ++row) {
    const auto w = values.subspan(static_cast<std::size_t>(row * n_cols), static_cast<std::size_t>(n_cols));
    switch (encoding) {
      case WeightEncoding::kF32:
        for (const float value : w) store(bytes, value);
        break;
      case WeightEncoding::kBf16:
        for (const float value : w) store(bytes, to_bf16(value));
        break;
      case WeightEncoding::kF16:
        for (const float value : w) store(bytes, to_f16(value));
        break;
      case WeightEncoding::kInt8PerRow:
        quantize_row(w, n_cols, 127.0F, false, bytes, scales);
        break;
      case WeightEncoding::kInt8Group32:
        quantize_row(w, kScaleGroupSize, 127.0F, true, bytes, scales);
        break;
      case WeightEncoding::kInt4Group32:
        quantize_row(w, kScaleGroupSize, 7.0F, true, bytes, scales);
        break;
      case WeightEncoding::kFp8PerRow:
        quantize_row_fp8(w, bytes, scales);
        break;
      case WeightEncoding::kFp8Group128:
        for (std::size_t first = 0; first < w.size(); first += kFp8GroupSize) {
          const std::size_t n = std::min<std::size_t>(kFp8GroupSize, w.size() - first);
          quantize_row_fp8(w.subspan(first, n), bytes, scales);
        }
        break;
      case WeightEncoding::kInt4Group32Zero:
        quantize_row_with_zeros(w, bytes, scales);
        break;
      case WeightEncoding::kMxfp4Group32:
        quantize_row_mxfp4(w, bytes, scales);
        break;
      case WeightEncoding::kNvfp4Group16:
        quantize_row_nvfp4(w, bytes, scales);
        break;
      case WeightEncoding::kQ2K:
      case WeightEncoding::kQ4K:
      case WeightEncoding::kQ5K:
      case WeightEncoding::kQ41:
      case WeightEncoding::kQ51:
        quantize_row_with_minima(w, encoding, bytes, scales);
        break;
      case WeightEncoding::kQ3K:
      case WeightEncoding::kQ6K:
      case WeightEncoding::kIq4Xs:
      case WeightEncoding::kQ50:
      case WeightEncoding::kIq4Nl:
        quantize_row_in_blocks(w, encoding, bytes, scales);
        break;
    }
  }
  return std::make_shared<MemorySource>(std::move(bytes), std::move(scales), n_rows);
}

/// make_exact() for INT4 with zero points. Every group contains the least and the largest code, so that quantization reproduces its scale
/// and its zero point.
void make_exact_with_zeros(Dice& dice, std::span<float> values, std::int64_t n_cols) {
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(values.size());) {
    const std::int64_t n = std::min(kScaleGroupSize, n_cols - at % n_cols);
    const auto part = values.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(n));
    float largest = 0.0F;
    for (const float value : part) largest = std::max(largest, std::fabs(value));
    const float scale = std::exp2(std::ceil(std::log2(largest / 8.0F)));
    const float zero = n == 1 ? dice.one_of({-8.0F, 7.0F}) : static_cast<float>(dice.between(-8, 7));
    for (float& value : part) {
      value = scale * (std::clamp(std::nearbyint(value / scale) + zero, -8.0F, 7.0F) - zero);
    }
    const std::int32_t first = dice.between(0, static_cast<std::int32_t>(n) - 1);
    const std::int32_t second = (first + 1) % static_cast<std::int32_t>(n);
    // A group of one column gets the extreme code that differs from its zero point.
    part[static_cast<std::size_t>(second)] = scale * (7.0F - zero);
    part[static_cast<std::size_t>(first)] = scale * ((n == 1 && zero == -8.0F ? 7.0F : -8.0F) - zero);
    at += n;
  }
}

/// make_exact() for encodings in blocks. All parts of a block have the same scale, a power of two, and each contains its largest code, so
/// that quantization reproduces the scale. With minima, values are multiples of the scale and may be negative.
void make_exact_blocks(Dice& dice, std::span<float> values, WeightEncoding encoding) {
  const BlockForm form = block_form(encoding);
  const BlockCodes codes = block_codes(encoding);
  const bool has_minima = form.has_minima;
  const auto part_cols = static_cast<std::size_t>(form.n_parts() > 0 ? form.part_cols : form.n_cols);
  for (std::size_t first = 0; first < values.size(); first += static_cast<std::size_t>(form.n_cols)) {
    const auto block = values.subspan(first, static_cast<std::size_t>(form.n_cols));
    float largest = 0.0F;
    for (const float value : block) largest = std::max(largest, std::fabs(value));
    const float scale =
        std::exp2(std::ceil(std::log2(largest / (has_minima ? (codes.largest + 1.0F) / 2.0F : codes.largest))));
    for (std::size_t part = 0; part * part_cols < block.size(); ++part) {
      const auto of_part = block.subspan(part * part_cols, part_cols);
      const auto place = static_cast<std::size_t>(dice.between(0, static_cast<std::int32_t>(part_cols) - 2));
      if (has_minima) {
        const auto zero = static_cast<float>(dice.between(0, std::min(15, static_cast<std::int32_t>(codes.largest))));
        for (float& value : of_part) {
          value = scale * (std::clamp(std::nearbyint(value / scale) + zero, 0.0F, codes.largest) - zero);
        }
        of_part[place] = scale * (codes.largest - zero);
        of_part[place + 1] = scale * -zero;
        continue;
      }
      const float signed_scale = scale * sign_of_part(codes, part);
      for (float& value : of_part) {
        const float q = value / signed_scale;
        value = signed_scale * (codes.is_on_curve ? nearest_on_curve(q)
                                                  : std::clamp(std::nearbyint(q), -codes.largest, codes.largest));
      }
      of_part[place] = signed_scale * (codes.is_on_curve ? kFourBitCurve.front() : codes.largest);
    }
  }
}

/// Changes the values so that they, and the values after quantization, are exact in BF16. Scales become powers of two.
void make_exact(Dice& dice, std::span<float> values, std::int64_t n_cols, WeightEncoding encoding) {
  if (scales_per_row(encoding, n_cols) == 0) {
    // Near 0, FP16 has fewer bits than BF16. Rounding to FP16 last makes the result exact in both types.
    for (float& value : values) value = round_to_f16(round_to_bf16(value));
    return;
  }
  if (encoding == WeightEncoding::kInt4Group32Zero) return make_exact_with_zeros(dice, values, n_cols);
  if (has_blocks(encoding)) return make_exact_blocks(dice, values, encoding);
  const bool is_fp8 = has_fp8_codes(encoding);
  const bool is_e2m1 = has_e2m1_codes(encoding);
  const float largest_q = is_fp8                                     ? kE4m3Max
                          : is_e2m1                                  ? kE2m1Max
                          : encoding == WeightEncoding::kInt4Group32 ? 7.0F
                                                                     : 127.0F;
  const bool is_by_row = encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kFp8PerRow;
  const bool is_nvfp4 = encoding == WeightEncoding::kNvfp4Group16;
  const std::int64_t group = is_by_row ? n_cols : is_fp8 ? kFp8GroupSize : is_nvfp4 ? kNvfp4GroupSize : kScaleGroupSize;
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(values.size());) {
    const std::int64_t n = std::min(group, n_cols - at % n_cols);
    const auto part = values.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(n));
    float largest = 0.0F;
    for (const float value : part) largest = std::max(largest, std::fabs(value));
    float scale = std::exp2(std::ceil(std::log2(largest / largest_q)));
    // In some groups of E4M3 one value is so much larger than the others that many of these become subnormal.
    if (is_fp8) scale *= std::exp2(static_cast<float>(dice.one_of({0, 0, 6, 12})));
    for (float& value : part) {
      const float q = value / scale;
      value = scale * (is_fp8 ? nearest_e4m3(q) : is_e2m1 ? to_float(nearest_e2m1(q)) : std::nearbyint(q));
    }
    part[static_cast<std::size_t>(dice.between(0, static_cast<std::int32_t>(n) - 1))] = scale * largest_q;
    at += n;
  }
}

}  // namespace

CaseWeight make_weight(std::string name, std::span<const float> values, std::int64_t n_rows, std::int64_t n_cols,
                       WeightEncoding encoding, std::vector<std::int64_t> part_rows, Join join,
                       std::int64_t n_experts) {
  if (part_rows.empty()) part_rows = {n_rows};
  CaseWeight weight{.spec = {.name = std::move(name),
                             .n_rows = n_rows,
                             .n_cols = n_cols,
                             .encoding = encoding,
                             .parts = {},
                             .join = join,
                             .n_experts = n_experts}};
  std::int64_t first = 0;
  for (const std::int64_t rows : part_rows) {
    const auto part = values.subspan(static_cast<std::size_t>(first * n_cols), static_cast<std::size_t>(rows * n_cols));
    weight.spec.parts.push_back({rows, encode(part, rows, n_cols, encoding)});
    first += rows;
  }
  SS_CHECK(first == n_rows, "parts of a test weight");
  return weight;
}

std::int32_t CaseBuilder::new_graph() {
  result.graphs.emplace_back();
  return static_cast<std::int32_t>(result.graphs.size()) - 1;
}

ValueId CaseBuilder::value(std::int32_t cols, Rows rows, DType dtype) {
  graph().values.push_back({.dtype = dtype, .rows = rows, .cols = cols, .observed = true});
  return ValueId{static_cast<std::int32_t>(graph().values.size()) - 1};
}

void CaseBuilder::add(const Op& op, std::string label) {
  if (label.empty()) label = "op" + std::to_string(graph().ops.size());
  graph().ops.push_back(op);
  graph().labels.push_back(std::move(label));
}

WeightId CaseBuilder::weight(CaseWeight weight) {
  result.weights.push_back(std::move(weight));
  return WeightId{static_cast<std::int32_t>(result.weights.size()) - 1};
}

WeightId CaseBuilder::matrix(std::int64_t n_rows, std::int64_t n_cols, WeightEncoding encoding,
                             std::vector<std::int64_t> part_rows, Join join, std::int64_t n_experts) {
  std::vector<float> values =
      dice.normals(static_cast<std::size_t>(n_rows * n_cols), 1.0F / std::sqrt(static_cast<float>(n_cols)));
  // Rows have different magnitudes, so that a scale on the wrong row is detected.
  for (std::int64_t row = 0; row < n_rows; ++row) {
    const float factor = 0.5F + 1.5F * static_cast<float>(row % 7) / 6.0F;
    for (std::int64_t col = 0; col < n_cols; ++col) values[static_cast<std::size_t>(row * n_cols + col)] *= factor;
  }
  if (is_exact_in_bf16) make_exact(dice, values, n_cols, encoding);
  return weight(make_weight("matrix" + std::to_string(result.weights.size()), values, n_rows, n_cols, encoding,
                            std::move(part_rows), join, n_experts));
}

WeightId CaseBuilder::vector(std::int64_t n, float mean, float deviation) {
  const std::vector<float> values = dice.normals(static_cast<std::size_t>(n), deviation, mean);
  return weight(make_weight("vector" + std::to_string(result.weights.size()), values, 1, n, WeightEncoding::kF32));
}

ValueId CaseBuilder::input(std::int32_t cols, std::int32_t n_ids, float deviation) {
  std::vector<float> values = dice.normals(static_cast<std::size_t>(cols) * static_cast<std::size_t>(n_ids), deviation);
  if (is_exact_in_bf16) std::ranges::transform(values, values.begin(), round_to_bf16);
  const WeightId table =
      weight(make_weight("table" + std::to_string(result.weights.size()), values, n_ids, cols, WeightEncoding::kF32));
  const ValueId out = value(cols);
  add(Embed{.table = table, .out = out}, "input" + std::to_string(index_of(out)));
  return out;
}

RopeId CaseBuilder::rope(std::int32_t head_dim, float attention_factor) {
  RopeSpec rope{.inv_freq = {}, .attention_factor = attention_factor};
  for (std::int32_t i = 0; i < head_dim / 2; ++i) {
    rope.inv_freq.push_back(1.0F / std::pow(10000.0F, static_cast<float>(2 * i) / static_cast<float>(head_dim)));
  }
  graph().ropes.push_back(std::move(rope));
  return RopeId{static_cast<std::int32_t>(graph().ropes.size()) - 1};
}

void CaseBuilder::observe_only(std::span<const ValueId> keep) {
  for (std::size_t v = 0; v < graph().values.size(); ++v) {
    graph().values[v].observed = std::ranges::find(keep, ValueId{static_cast<std::int32_t>(v)}) != keep.end();
  }
}

Sequences::Sequences(Dice& dice, std::int64_t n_pages, std::int32_t page_tokens, std::int64_t n_reserved)
    : dice_(dice), page_tokens_(page_tokens), free_pages_(static_cast<std::size_t>(n_pages)) {
  std::iota(free_pages_.begin(), free_pages_.end(), 0);
  for (std::size_t i = free_pages_.size(); i > 1; --i) {
    std::swap(free_pages_[i - 1], free_pages_[static_cast<std::size_t>(dice_.between(0, static_cast<int>(i) - 1))]);
  }
  free_pages_.resize(free_pages_.size() - static_cast<std::size_t>(n_reserved));
}

std::int32_t Sequences::add() {
  pages_.emplace_back();
  lengths_.push_back(0);
  return static_cast<std::int32_t>(pages_.size()) - 1;
}

std::int32_t Sequences::add_copied(std::vector<std::int32_t> pages, std::int32_t length) {
  const std::int32_t sequence = add();
  pages_.back() = std::move(pages);
  lengths_.back() = length;
  return sequence;
}

std::int32_t Sequences::take_page() {
  SS_CHECK(!free_pages_.empty(), "a case needs more pages than its pool has");
  const std::int32_t page = free_pages_.back();
  free_pages_.pop_back();
  return page;
}

void Sequences::append(BatchStorage& batch, std::int32_t sequence, std::int32_t n_tokens, std::int32_t n_ids) {
  const auto s = static_cast<std::size_t>(sequence);
  if (batch.kv_lengths.empty()) in_batch_.clear();
  for (std::int32_t i = 0; i < n_tokens; ++i) {
    const std::int32_t position = lengths_[s]++;
    if (position % page_tokens_ == 0 && position / page_tokens_ == static_cast<std::int32_t>(pages_[s].size())) {
      pages_[s].push_back(take_page());
    }
    batch.token_ids.push_back(dice_.between(0, n_ids - 1));
    batch.positions.push_back(position);
    batch.kv_slots.push_back(pages_[s][static_cast<std::size_t>(position / page_tokens_)] * page_tokens_ +
                             position % page_tokens_);
  }
  batch.q_starts.push_back(static_cast<std::int32_t>(batch.token_ids.size()));
  batch.kv_lengths.push_back(lengths_[s]);
  batch.seq_slots.push_back(sequence);
  in_batch_.push_back(sequence);
}

void Sequences::finish(BatchStorage& batch, std::int32_t n_padding) {
  std::size_t width = 1;
  for (const std::int32_t sequence : in_batch_)
    width = std::max(width, pages_[static_cast<std::size_t>(sequence)].size());
  batch.max_pages_per_seq = static_cast<std::int32_t>(width);
  for (const std::int32_t sequence : in_batch_) {
    std::vector<std::int32_t> row = pages_[static_cast<std::size_t>(sequence)];
    row.resize(width, -1);  // entries beyond a sequence's pages must not be read
    batch.block_table.insert(batch.block_table.end(), row.begin(), row.end());
  }
  for (std::int32_t i = 0; i < n_padding; ++i) {
    batch.token_ids.push_back(0);
    batch.positions.push_back(0);
    batch.kv_slots.push_back(-1);
  }
}

void Sequences::want_logits(BatchStorage& batch, std::int32_t row, SamplingParams params) {
  batch.logit_rows.push_back(row);
  batch.sampling.push_back(params);
}

Action& CaseBuilder::submit(BatchStorage batch) {
  result.actions.push_back({.graph = static_cast<std::int32_t>(result.graphs.size()) - 1,
                            .batch = std::move(batch),
                            .wait = true,
                            .compare = true,
                            .copies = {}});
  return result.actions.back();
}

BatchStorage plain_batch(CaseBuilder& builder, std::int32_t n_tokens, std::int32_t n_ids, std::int32_t n_padding) {
  builder.result.kv = {.n_layers = 1, .n_kv_heads = 1, .head_dim = 64, .page_tokens = 16};
  builder.result.n_pages = ceil_divide(n_tokens, 16) + 1;
  Sequences sequences(builder.dice, builder.result.n_pages, 16, 1);
  BatchStorage batch;
  sequences.append(batch, sequences.add(), n_tokens, n_ids);
  sequences.finish(batch, n_padding);
  return batch;
}

void dirty_cache(CaseBuilder& builder, const HeadShape& heads) {
  constexpr std::int32_t kRowsPerStep = 256;
  constexpr std::int32_t kIds = 7;
  SS_CHECK(builder.graph().ops.empty(), "dirty_cache() comes before the case's own graph");
  const auto graph = static_cast<std::int32_t>(builder.result.graphs.size()) - 1;
  const bool has_latents = heads.latent_dim > 0;
  const RopeId rope = builder.rope(heads.head_dim - heads.latent_dim);
  // A softmax weight of zero hides large numbers, but not NaN.
  const float deviation = builder.dice.chance(0.4) ? NAN : 30.0F;
  for (std::int32_t layer = 0; layer < builder.result.kv.n_layers; ++layer) {
    if (has_latents) {
      // The norm scales any input to latents of magnitude 1. Its large weights make them large again.
      const ValueId latent = builder.input(heads.head_dim, kIds, deviation);
      const ValueId queries = builder.input(heads.n_heads * heads.head_dim, kIds, 1.0F);
      const WeightId norm = builder.vector(heads.latent_dim, 0.0F, 30.0F);
      builder.add(LatentAppend{.latent = latent,
                               .q = queries,
                               .q_out = queries,
                               .layer = layer,
                               .heads = heads,
                               .rope = rope,
                               .norm = norm});
      continue;
    }
    const ValueId qkv = builder.input((heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim, kIds, deviation);
    const ValueId q = builder.value(heads.n_heads * heads.head_dim);
    builder.add(RopeAppend{.qkv = qkv, .q_out = q, .layer = layer, .heads = heads, .rope = rope});
  }
  builder.observe_only({});
  const std::int32_t page_tokens = builder.result.kv.page_tokens;
  const auto n_slots = static_cast<std::int32_t>(builder.result.n_pages * page_tokens);
  const std::int32_t step = std::max(page_tokens, kRowsPerStep / page_tokens * page_tokens);
  for (std::int32_t first = 0; first < n_slots; first += step) {
    Action action{.graph = graph, .batch = {}, .wait = true, .compare = false, .copies = {}};
    const std::int32_t n = std::min(step, n_slots - first);
    for (std::int32_t i = 0; i < n; ++i) {
      action.batch.token_ids.push_back(builder.dice.between(0, kIds - 1));
      action.batch.positions.push_back(i);
      action.batch.kv_slots.push_back(first + i);
    }
    action.batch.q_starts.push_back(n);
    action.batch.kv_lengths.push_back(n);
    action.batch.seq_slots.push_back(0);
    action.batch.max_pages_per_seq = ceil_divide(n, page_tokens);
    for (std::int32_t page = 0; page < action.batch.max_pages_per_seq; ++page) {
      action.batch.block_table.push_back(first / page_tokens + page);
    }
    builder.result.actions.push_back(std::move(action));
  }
  builder.new_graph();
}

}  // namespace secondsource::conformance
