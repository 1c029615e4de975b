#include "bundle/weight_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "bundle/model_tensors.h"
#include "bundle/published_weights.h"
#include "bundle/quantize.h"
#include "core/check.h"
#include "core/half.h"
#include "core/utf8.h"
#include "core/vector_clones.h"

namespace secondsource {
namespace {

/// Bytes read from the file at a time: many for one system call, and few enough to stay in the L2 cache until they are
/// converted.
constexpr std::size_t kStripBytes = std::size_t{64} << 10;

template <typename Half>
[[gnu::always_inline]] inline void load_halves(const std::byte* bytes, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Half half;
    std::memcpy(&half, bytes + i * sizeof half, sizeof half);
    out[i] = to_float(half);
  }
}

/// Converts out.size() stored values at `bytes` to f32, exactly.
SS_VECTOR_CLONES void load_floats(const std::byte* bytes, DType dtype, std::span<float> out) {
  if (dtype == DType::kF32) {
    std::memcpy(out.data(), bytes, out.size_bytes());
  } else if (dtype == DType::kBf16) {
    load_halves<Bf16>(bytes, out);
  } else {
    load_halves<F16>(bytes, out);
  }
}

SS_VECTOR_CLONES void store_bf16(std::span<const float> values, std::byte* out) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Bf16 half = to_bf16(values[i]);
    std::memcpy(out + i * sizeof half, &half, sizeof half);
  }
}

SS_VECTOR_CLONES void store_f16(std::span<const float> values, std::byte* out) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const F16 half = to_f16(values[i]);
    std::memcpy(out + i * sizeof half, &half, sizeof half);
  }
}

/// The largest magnitude of the values at `bytes`, as bits: these compare like the values, with infinity and NaN on top.
template <typename Bits>
[[gnu::always_inline]] inline Bits largest_magnitude(std::span<const std::byte> bytes) {
  constexpr Bits kNoSign = std::numeric_limits<Bits>::max() >> 1;
  Bits largest = 0;
  for (std::size_t i = 0; i + sizeof(Bits) <= bytes.size(); i += sizeof(Bits)) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + i, sizeof bits);
    largest = std::max<Bits>(largest, bits & kNoSign);
  }
  return largest;
}

/// False if a value in a floating-point encoding is NaN or infinite, for example because it exceeds the encoding. Such a
/// value would spoil every token after it.
SS_VECTOR_CLONES bool are_finite(std::span<const std::byte> values, WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kF32:
      return largest_magnitude<std::uint32_t>(values) < 0x7f800000U;
    case WeightEncoding::kBf16:
      return largest_magnitude<std::uint16_t>(values) < 0x7f80U;
    case WeightEncoding::kF16:
      return largest_magnitude<std::uint16_t>(values) < 0x7c00U;
    default:
      return true;  // the quantizers check their rows themselves
  }
}

Error not_finite(const StoredTensor& tensor, WeightEncoding encoding, std::string_view what, std::int64_t index) {
  return Error{ErrorCode::kInvalidInput,
               fmt::format("tensor {}: {} {}: expected finite values that fit {}, found others",
                           printable(tensor.info.name), what, index, to_string(encoding))};
}

/// Writes a row in the encoding. False if a value is not finite or does not fit.
bool encode_row(WeightEncoding encoding, std::span<const float> row, std::span<std::byte> values,
                std::span<float> scales) {
  const std::span<std::int8_t> q(reinterpret_cast<std::int8_t*>(values.data()), row.size());
  switch (encoding) {
    case WeightEncoding::kF32:
      std::memcpy(values.data(), row.data(), row.size_bytes());
      return are_finite(values, encoding);
    case WeightEncoding::kBf16:
      store_bf16(row, values.data());
      return are_finite(values, encoding);
    case WeightEncoding::kF16:
      store_f16(row, values.data());
      return are_finite(values, encoding);
    case WeightEncoding::kInt8PerRow: {
      const RowScale result = quantize_row_int8(row, q);
      scales[0] = result.scale;
      return result.finite;
    }
    case WeightEncoding::kFp8PerRow: {
      const RowScale result = quantize_row_fp8(row, {reinterpret_cast<E4m3*>(values.data()), row.size()});
      scales[0] = result.scale;
      return result.finite;
    }
    case WeightEncoding::kInt8Group32:
      return quantize_row_int8_groups(row, q, scales);
    case WeightEncoding::kInt4Group32:
      return quantize_row_int4(row, q, scales);
    case WeightEncoding::kInt4Group32Zero:
    case WeightEncoding::kFp8Group128:
    case WeightEncoding::kMxfp4Group32:
    case WeightEncoding::kNvfp4Group16:
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
      break;  // published codes only, which are delivered unchanged
  }
  return false;
}

class StoredRows final : public WeightSource {
 public:
  StoredRows(StoredTensor tensor, WeightEncoding encoding, std::int64_t n_rows, std::int64_t n_cols)
      : tensor_(std::move(tensor)),
        dtype_(*tensor_.info.dtype),
        encoding_(encoding),
        n_rows_(n_rows),
        n_cols_(n_cols),
        as_stored_((dtype_ == DType::kF32 && encoding == WeightEncoding::kF32) ||
                   (dtype_ == DType::kBf16 && encoding == WeightEncoding::kBf16) ||
                   (dtype_ == DType::kF16 && encoding == WeightEncoding::kF16)) {}

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    SS_CHECK(first_row >= 0 && n_rows >= 0 && n_rows <= n_rows_ - first_row, "rows outside the tensor");
    const auto n_cols = static_cast<std::size_t>(n_cols_);
    const auto n_scales = static_cast<std::size_t>(scales_per_row(encoding_, n_cols_));
    const std::size_t row_bytes = n_cols * transfer_bytes_per_value(encoding_);
    SS_CHECK(values.size() == row_bytes * static_cast<std::size_t>(n_rows), "values: wrong size");
    SS_CHECK(scales.size() == n_scales * static_cast<std::size_t>(n_rows), "scales: wrong size");
    const std::size_t stored_row_bytes = n_cols * size_of(dtype_);
    const std::size_t begin = tensor_.info.offset_bytes + static_cast<std::size_t>(first_row) * stored_row_bytes;
    const std::size_t n = static_cast<std::size_t>(n_rows);
    const std::size_t strip_rows = std::max<std::size_t>(1, kStripBytes / std::max<std::size_t>(1, stored_row_bytes));
    if (as_stored_) {
      for (std::size_t i = 0; i < n; i += strip_rows) {
        const std::span<std::byte> strip = values.subspan(i * row_bytes, std::min(strip_rows, n - i) * row_bytes);
        SS_TRY_VOID(tensor_.file->read_at(begin + i * row_bytes, strip));
        if (are_finite(strip, encoding_)) continue;
        std::size_t row = i;
        while (are_finite(values.subspan(row * row_bytes, row_bytes), encoding_)) ++row;
        return not_finite(tensor_, encoding_, "row", first_row + static_cast<std::int64_t>(row));
      }
      return {};
    }
    const std::size_t strip_bytes = std::min(n, strip_rows) * stored_row_bytes;
    const auto strip = std::make_unique_for_overwrite<std::byte[]>(strip_bytes);
    std::vector<float> row(n_cols);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t in_strip = i % strip_rows;
      if (in_strip == 0) {
        const std::span<std::byte> next(strip.get(), std::min(strip_rows, n - i) * stored_row_bytes);
        SS_TRY_VOID(tensor_.file->read_at(begin + i * stored_row_bytes, next));
      }
      load_floats(strip.get() + in_strip * stored_row_bytes, dtype_, row);
      if (!encode_row(encoding_, row, values.subspan(i * row_bytes, row_bytes),
                      scales.subspan(i * n_scales, n_scales))) {
        return not_finite(tensor_, encoding_, "row", first_row + static_cast<std::int64_t>(i));
      }
    }
    return {};
  }

  [[nodiscard]] std::optional<StoredContent> stored_content() const override {
    const std::string file = tensor_.file->identity();
    if (as_stored_ || file.empty()) return std::nullopt;
    // The number is the version of the quantizers (docs/bundle-format.md), because another version gives other rows.
    return StoredContent{
        .identity = fmt::format("file {} at {} bytes {}", file, tensor_.info.offset_bytes, tensor_.info.size_bytes),
        .is_settled = tensor_.file->has_settled(),
        .size_bytes = tensor_.info.size_bytes,
        .conversion = fmt::format("quantizers 1 {} as {}", to_string(dtype_), to_string(encoding_))};
  }

  Result<void> read_stored(std::size_t offset, std::span<std::byte> out) const override {
    SS_CHECK(offset <= tensor_.info.size_bytes && out.size() <= tensor_.info.size_bytes - offset, "outside the tensor");
    return tensor_.file->read_at(tensor_.info.offset_bytes + offset, out);
  }

 private:
  StoredTensor tensor_;
  DType dtype_;
  WeightEncoding encoding_;
  std::int64_t n_rows_;
  std::int64_t n_cols_;
  bool as_stored_;
};

/// Rows of a weight that is stored as published codes: the codes unchanged in their own encoding, or their values in
/// another.
class CodedRows {
 public:
  CodedRows(StoredTensor tensor, WeightEncoding encoding, std::int64_t n_cols)
      : tensor_(std::move(tensor)), encoding_(encoding), n_cols_(n_cols) {}

  Result<void> read(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                    std::span<float> scales) const {
    const PublishedWeight& published = *tensor_.published;
    if (encoding_ == published.form.encoding) return published.read_rows(n_cols_, first_row, n_rows, values, scales);
    const auto n_cols = static_cast<std::size_t>(n_cols_);
    const auto n_scales = static_cast<std::size_t>(scales_per_row(encoding_, n_cols_));
    const std::size_t row_bytes = n_cols * transfer_bytes_per_value(encoding_);
    std::vector<float> row(n_cols);
    std::vector<std::byte> row_codes;
    std::vector<float> row_scales;
    for (std::size_t i = 0; i < static_cast<std::size_t>(n_rows); ++i) {
      const std::int64_t at = first_row + static_cast<std::int64_t>(i);
      SS_TRY_VOID(published.read_values(at, row, row_codes, row_scales));
      if (!encode_row(encoding_, row, values.subspan(i * row_bytes, row_bytes),
                      scales.subspan(i * n_scales, n_scales))) {
        return not_finite(tensor_, encoding_, "row", at);
      }
    }
    return {};
  }

 private:
  StoredTensor tensor_;
  WeightEncoding encoding_;
  std::int64_t n_cols_;
};

/// Rows of a weight that is stored as published codes.
class PublishedRows final : public WeightSource {
 public:
  PublishedRows(StoredTensor tensor, WeightEncoding encoding, std::int64_t n_rows, std::int64_t n_cols)
      : n_rows_(n_rows), rows_(std::move(tensor), encoding, n_cols) {}

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    SS_CHECK(first_row >= 0 && n_rows >= 0 && n_rows <= n_rows_ - first_row, "rows outside the tensor");
    return rows_.read(first_row, n_rows, values, scales);
  }

 private:
  std::int64_t n_rows_;
  CodedRows rows_;
};

/// Columns of one matrix of a tensor [matrices, inputs, outputs], as rows.
class StoredColumns final : public WeightSource {
 public:
  /// view.n_inputs must not be 0.
  StoredColumns(StoredTensor tensor, ColumnView view, WeightEncoding encoding)
      : tensor_(std::move(tensor)), view_(view), encoding_(encoding) {}

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    SS_CHECK(first_row >= 0 && n_rows >= 0 && n_rows <= view_.n_columns - first_row, "rows outside the view");
    const auto n_inputs = static_cast<std::size_t>(view_.n_inputs);
    const auto n_scales = static_cast<std::size_t>(scales_per_row(encoding_, view_.n_inputs));
    const std::size_t row_bytes = n_inputs * transfer_bytes_per_value(encoding_);
    std::vector<float> strip(static_cast<std::size_t>(std::min(n_rows, kStripColumns)) * n_inputs);
    for (std::int64_t done = 0; done < n_rows; done += kStripColumns) {
      const std::int64_t n = std::min(kStripColumns, n_rows - done);
      read_strip(first_row + done, n, strip);
      for (std::int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(done + i);
        const auto row = std::span<const float>(strip).subspan(static_cast<std::size_t>(i) * n_inputs, n_inputs);
        if (!encode_row(encoding_, row, values.subspan(at * row_bytes, row_bytes),
                        scales.subspan(at * n_scales, n_scales))) {
          return not_finite(tensor_, encoding_, "column", view_.first_column + (first_row + done + i) * view_.step);
        }
      }
    }
    return {};
  }

 private:
  /// Columns that are gathered together, because the values of one input are contiguous.
  static constexpr std::int64_t kStripColumns = 64;

  void read_strip(std::int64_t first_row, std::int64_t n_rows, std::span<float> strip) const {
    const Shape& shape = tensor_.info.shape;
    const std::int64_t n_stored = shape.extent(shape.rank() - 2);
    const std::int64_t n_outputs = shape.extent(shape.rank() - 1);
    const DType dtype = *tensor_.info.dtype;
    std::vector<float> values(static_cast<std::size_t>((n_rows - 1) * view_.step + 1));
    for (std::int64_t input = 0; input < view_.n_inputs; ++input) {
      const std::int64_t at = (view_.matrix * n_stored + view_.first_input + input) * n_outputs + view_.first_column +
                              first_row * view_.step;
      load_floats(tensor_.bytes().data() + static_cast<std::size_t>(at) * size_of(dtype), dtype, values);
      for (std::int64_t row = 0; row < n_rows; ++row) {
        strip[static_cast<std::size_t>(row * view_.n_inputs + input)] =
            values[static_cast<std::size_t>(row * view_.step)];
      }
    }
  }

  StoredTensor tensor_;
  ColumnView view_;
  WeightEncoding encoding_;
};

/// The same for a tensor that is stored as transposed codes, in which the columns are rows.
class PublishedColumns final : public WeightSource {
 public:
  PublishedColumns(StoredTensor tensor, const ColumnView& view, WeightEncoding encoding)
      : first_row_(view.matrix * tensor.info.shape.extent(tensor.info.shape.rank() - 1) + view.first_column),
        step_(view.step),
        n_columns_(view.n_columns),
        n_inputs_(view.n_inputs),
        encoding_(encoding),
        rows_(std::move(tensor), encoding, view.n_inputs) {}

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    SS_CHECK(first_row >= 0 && n_rows >= 0 && n_rows <= n_columns_ - first_row, "rows outside the view");
    if (step_ == 1) return rows_.read(first_row_ + first_row, n_rows, values, scales);
    const std::size_t row_bytes = static_cast<std::size_t>(n_inputs_) * transfer_bytes_per_value(encoding_);
    const auto n_scales = static_cast<std::size_t>(scales_per_row(encoding_, n_inputs_));
    for (std::size_t row = 0; row < static_cast<std::size_t>(n_rows); ++row) {
      const std::int64_t at = first_row_ + (first_row + static_cast<std::int64_t>(row)) * step_;
      SS_TRY_VOID(
          rows_.read(at, 1, values.subspan(row * row_bytes, row_bytes), scales.subspan(row * n_scales, n_scales)));
    }
    return {};
  }

 private:
  std::int64_t first_row_;
  std::int64_t step_;
  std::int64_t n_columns_;
  std::int64_t n_inputs_;
  WeightEncoding encoding_;
  CodedRows rows_;
};

/// Errors: kUnsupported.
Result<void> expect_numbers(const TensorInfo& info) {
  if (info.dtype == DType::kF32 || info.dtype == DType::kF16 || info.dtype == DType::kBf16) return {};
  return Error{ErrorCode::kUnsupported, fmt::format("tensor {}: expected F32, F16 or BF16, found {}",
                                                    printable(info.name), printable(info.dtype_name))};
}

}  // namespace

Result<std::shared_ptr<const WeightSource>> make_weight_source(const StoredTensor& tensor, WeightEncoding encoding) {
  const TensorInfo& info = tensor.info;
  SS_TRY_VOID(expect_numbers(info));
  if (info.shape.rank() < 1 || info.shape.rank() > 3) {
    return Error{ErrorCode::kInvalidInput, fmt::format("tensor {}: expected one to three dimensions, found {}",
                                                       printable(info.name), info.shape.to_string())};
  }
  const std::int64_t n_cols = info.shape.extent(info.shape.rank() - 1);
  if (tensor.published) {
    if (tensor.published->form.is_transposed) {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("tensor {}: rows of transposed codes are not read", printable(info.name))};
    }
    return std::shared_ptr<const WeightSource>(
        std::make_shared<PublishedRows>(tensor, encoding, n_rows_of(info.shape), n_cols));
  }
  return std::shared_ptr<const WeightSource>(
      std::make_shared<StoredRows>(tensor, encoding, n_rows_of(info.shape), n_cols));
}

std::span<const std::int32_t> column_order_of(const StoredTensor& tensor, WeightEncoding encoding) {
  if (!tensor.published || tensor.published->form.encoding != encoding) return {};
  return tensor.published->columns;
}

Result<std::shared_ptr<const WeightSource>> make_column_source(const StoredTensor& tensor, const ColumnView& view,
                                                               WeightEncoding encoding) {
  const TensorInfo& info = tensor.info;
  SS_TRY_VOID(expect_numbers(info));
  if (tensor.published && !tensor.published->form.is_transposed) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("tensor {}: columns of codes that are not transposed are not read", printable(info.name))};
  }
  const std::size_t rank = info.shape.rank();
  const std::int64_t n_matrices = rank == 3 ? info.shape.extent(0) : 1;
  const std::int64_t n_stored = rank < 2 ? 0 : info.shape.extent(rank - 2);
  ColumnView whole = view;
  if (view.n_inputs == 0) whole.n_inputs = n_stored - view.first_input;
  const bool is_inside = (rank == 2 || rank == 3) && view.matrix >= 0 && view.matrix < n_matrices &&
                         view.first_column >= 0 && view.step >= 1 && view.n_columns >= 1 &&
                         view.first_column + (view.n_columns - 1) * view.step < info.shape.extent(rank - 1) &&
                         view.first_input >= 0 && whole.n_inputs >= 1 && whole.n_inputs <= n_stored - view.first_input;
  if (!is_inside) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("tensor {}: expected [matrices, inputs, outputs] with outputs {} to {} of matrix {}, found {}",
                    printable(info.name), view.first_column, view.first_column + (view.n_columns - 1) * view.step,
                    view.matrix, info.shape.to_string())};
  }
  if (tensor.published) {
    if (whole.n_inputs != n_stored) {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("tensor {}: parts of columns of codes are not read", printable(info.name))};
    }
    return std::shared_ptr<const WeightSource>(std::make_shared<PublishedColumns>(tensor, whole, encoding));
  }
  return std::shared_ptr<const WeightSource>(std::make_shared<StoredColumns>(tensor, whole, encoding));
}

}  // namespace secondsource
