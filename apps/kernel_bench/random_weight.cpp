#include "random_weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/e2m1.h"
#include "core/e4m3.h"
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

}  // namespace

RandomWeight::RandomWeight(WeightEncoding encoding, std::int64_t n_cols, std::uint64_t seed)
    : encoding_(encoding), n_cols_(n_cols), seed_(seed) {
  pool_.resize(static_cast<std::size_t>(kPoolValues) * transfer_bytes_per_value(encoding));
  const float deviation = 1.0F / std::sqrt(static_cast<float>(n_cols));
  const float half_width = deviation * std::sqrt(3.0F);  // a uniform distribution with that deviation
  const bool is_mxfp4 = encoding == WeightEncoding::kMxfp4Group32;
  const float largest = has_int4_codes(encoding)  ? 7.0F
                        : is_mxfp4                ? kE2m1Max
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
      case WeightEncoding::kQ4K:
        put(pool_, i, static_cast<std::uint8_t>(random_bits(seed + 2, static_cast<std::uint64_t>(i)) % 16));
        break;
      case WeightEncoding::kQ5K:
        put(pool_, i, static_cast<std::uint8_t>(random_bits(seed + 2, static_cast<std::uint64_t>(i)) % 32));
        break;
      case WeightEncoding::kQ6K:
        put(pool_, i, static_cast<std::int8_t>(std::lround(unit * 31.0F)));
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
  if (has_k_blocks(encoding_)) {
    // The whole numbers of the parts of a block are 16 to 23; minima of 7.5 or 15.5 scales make the mean of q4_k and q5_k nearly 0.
    const bool has_minima = has_k_minima(encoding_);
    const auto n_floats = static_cast<std::size_t>(k_block_floats(encoding_));
    for (std::size_t i = 0; i < scales.size(); ++i) {
      const std::size_t in_block = i % n_floats;
      if (in_block >= (has_minima ? 2U : 1U)) scales[i] = static_cast<float>(16 + in_block % 8);
      if (has_minima && in_block == 1)
        scales[i] = round_to_f16((encoding_ == WeightEncoding::kQ4K ? 7.5F : 15.5F) * scale_);
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
