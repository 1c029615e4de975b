#include "random_weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/four_bit_curve.h"
#include "core/half.h"
#include "core/random.h"

namespace secondsource::kernel_bench {
namespace {

// Larger than a row of any model, and prime, so that values do not repeat with the period of a row or a tile.
constexpr std::int64_t kPoolValues = 1'000'003;

template <typename T>
void put(std::vector<std::byte>& pool, std::int64_t index, T value) {
  std::memcpy(pool.data() + static_cast<std::size_t>(index) * sizeof(T), &value, sizeof(T));
}

/// The largest code of an encoding in blocks.
int largest_code(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kQ2K:
    case WeightEncoding::kQ3K:
      return 3;
    case WeightEncoding::kQ5K:
    case WeightEncoding::kQ51:
    case WeightEncoding::kQ6K:
      return 31;
    default:
      return 15;
  }
}

/// One of the codes that an encoding in blocks has.
std::int8_t code_in_block(WeightEncoding encoding, std::uint64_t bits) {
  const bool is_on_curve = encoding == WeightEncoding::kIq4Xs || encoding == WeightEncoding::kIq4Nl;
  if (is_on_curve) return kFourBitCurve[bits % kFourBitCurve.size()];
  const int largest = largest_code(encoding);
  if (block_form(encoding).has_minima) return static_cast<std::int8_t>(bits % static_cast<unsigned>(largest + 1));
  return static_cast<std::int8_t>(static_cast<int>(bits % static_cast<unsigned>(2 * largest + 2)) - largest - 1);
}

}  // namespace

RandomWeight::RandomWeight(WeightEncoding encoding, std::int64_t n_cols, std::uint64_t seed)
    : encoding_(encoding), n_cols_(n_cols), seed_(seed) {
  pool_.resize(static_cast<std::size_t>(kPoolValues) * transfer_bytes_per_value(encoding));
  const float deviation = 1.0F / std::sqrt(static_cast<float>(n_cols));
  const float half_width = deviation * std::sqrt(3.0F);  // a uniform distribution with that deviation
  const bool is_mxfp4 = encoding == WeightEncoding::kMxfp4Group32;
  const bool is_e2m1 = has_e2m1_codes(encoding);
  const float largest = has_int4_codes(encoding)  ? 7.0F
                        : is_e2m1                 ? kE2m1Max
                        : has_fp8_codes(encoding) ? kE4m3Max
                                                  : 127.0F;
  // The scales of groups are stored as FP16, those of MXFP4 are powers of two.
  scale_ = is_mxfp4 ? to_float(to_e8m0(half_width / largest)) : round_to_f16(half_width / largest);
  for (std::int64_t i = 0; i < kPoolValues; ++i) {
    const auto unit = static_cast<float>(2.0 * random_unit(seed, static_cast<std::uint64_t>(i)) - 1.0);
    switch (encoding) {
      case WeightEncoding::kF32:
        put(pool_, i, unit * half_width);
        break;
      case WeightEncoding::kBf16:
        put(pool_, i, to_bf16(unit * half_width));
        break;
      case WeightEncoding::kF16:
        put(pool_, i, to_f16(unit * half_width));
        break;
      case WeightEncoding::kInt8PerRow:
      case WeightEncoding::kInt8Group32:
      case WeightEncoding::kInt4Group32:
      case WeightEncoding::kInt4Group32Zero:
        put(pool_, i, static_cast<std::int8_t>(std::lround(unit * largest)));
        break;
      case WeightEncoding::kMxfp4Group32:
      case WeightEncoding::kNvfp4Group16:
        put(pool_, i, static_cast<std::uint8_t>(random_bits(seed + 2, static_cast<std::uint64_t>(i)) % 16));
        break;
      case WeightEncoding::kQ2K:
      case WeightEncoding::kQ3K:
      case WeightEncoding::kQ4K:
      case WeightEncoding::kQ5K:
      case WeightEncoding::kQ6K:
      case WeightEncoding::kIq4Xs:
      case WeightEncoding::kQ41:
      case WeightEncoding::kQ50:
      case WeightEncoding::kQ51:
      case WeightEncoding::kIq4Nl:
        put(pool_, i, code_in_block(encoding, random_bits(seed + 2, static_cast<std::uint64_t>(i))));
        break;
      case WeightEncoding::kFp8PerRow:
      case WeightEncoding::kFp8Group128:
        put(pool_, i, to_e4m3(unit * kE4m3Max));
        break;
    }
  }
}

Result<void> RandomWeight::read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                                     std::span<float> scales) const {
  const std::size_t value_bytes = transfer_bytes_per_value(encoding_);
  for (std::int64_t row = 0; row < n_rows; ++row) {
    // Each row starts at a random place in the pool, so that neighbouring rows are unrelated.
    const std::uint64_t start = random_bits(seed_ + 1, static_cast<std::uint64_t>(first_row + row));
    for (std::int64_t column = 0; column < n_cols_;) {
      const auto from = static_cast<std::int64_t>((start + static_cast<std::uint64_t>(column)) % kPoolValues);
      const std::int64_t n = std::min(n_cols_ - column, kPoolValues - from);
      std::memcpy(values.data() + static_cast<std::size_t>(row * n_cols_ + column) * value_bytes,
                  pool_.data() + static_cast<std::size_t>(from) * value_bytes,
                  static_cast<std::size_t>(n) * value_bytes);
      column += n;
    }
  }
  std::ranges::fill(scales, scale_);
  if (const BlockForm form = block_form(encoding_); form.n_cols > 0) {
    // Scales and minima of parts are whole numbers from 8 to 15. With dmin at half of the largest code the mean is
    // nearly 0.
    const auto n_floats = static_cast<std::size_t>(form.n_floats());
    for (std::size_t i = 0; i < scales.size(); ++i) {
      const std::size_t in_block = i % n_floats;
      if (in_block >= static_cast<std::size_t>(form.n_units())) {
        scales[i] = static_cast<float>(8 + in_block % 8);
      } else if (in_block == 1) {
        scales[i] = round_to_f16(static_cast<float>(largest_code(encoding_)) / 2 * scale_);
      }
    }
  }
  if (encoding_ == WeightEncoding::kNvfp4Group16) {
    // Group scales are 8 to 15, which E4M3 holds exactly; the global scale then gives the weight its intended
    // deviation.
    const auto n_floats = static_cast<std::size_t>(scales_per_row(encoding_, n_cols_));
    for (std::size_t i = 0; i < scales.size(); ++i) {
      scales[i] = i % n_floats == 0 ? scale_ / 16 : static_cast<float>(8 + i % n_floats % 8);
    }
  }
  if (encoding_ == WeightEncoding::kInt4Group32Zero) {
    const auto n_floats = static_cast<std::size_t>(scales_per_row(encoding_, n_cols_));
    for (std::size_t i = 0; i < scales.size(); ++i) {
      const std::size_t in_row = i % n_floats;
      if (in_row >= n_floats / 2) scales[i] = static_cast<float>(in_row % 7) - 3.0F;
    }
  }
  return {};
}

PickedRows::PickedRows(std::shared_ptr<const WeightSource> source, std::vector<std::int64_t> rows,
                       WeightEncoding encoding, std::int64_t n_cols)
    : source_(std::move(source)),
      rows_(std::move(rows)),
      row_bytes_(static_cast<std::size_t>(n_cols) * transfer_bytes_per_value(encoding)),
      row_scales_(static_cast<std::size_t>(scales_per_row(encoding, n_cols))) {}

Result<void> PickedRows::read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                                   std::span<float> scales) const {
  for (std::int64_t row = 0; row < n_rows; ++row) {
    const auto at = static_cast<std::size_t>(row);
    SS_TRY_VOID(source_->read_rows(rows_[static_cast<std::size_t>(first_row + row)], 1,
                                   values.subspan(at * row_bytes_, row_bytes_),
                                   scales.subspan(at * row_scales_, row_scales_)));
  }
  return {};
}

WeightSpec matrix_spec(std::string name, std::int64_t n_rows, std::int64_t n_cols, WeightEncoding encoding,
                       std::shared_ptr<const WeightSource> source) {
  WeightSpec spec;
  spec.name = std::move(name);
  spec.n_rows = n_rows;
  spec.n_cols = n_cols;
  spec.encoding = encoding;
  spec.parts = {{n_rows, std::move(source)}};
  return spec;
}

}  // namespace secondsource::kernel_bench
