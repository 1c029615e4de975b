#include "bundle/published_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "backend/block_values.h"
#include "bundle/gguf_blocks.h"
#include "core/check.h"
#include "core/checked.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/half.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

/// The least and the largest zero point, which are those of the codes.
constexpr int kLeastZero = -8;
constexpr int kLargestZero = 7;

/// The code of a column: a sign-extended nibble, or four bits that are an E2M1 number.
std::int8_t four_bits_of(std::byte pair, bool is_second, bool is_signed) {
  const auto bits = static_cast<std::uint8_t>(pair);
  if (!is_signed) return static_cast<std::int8_t>(is_second ? bits >> 4U : bits & 0xfU);
  const auto at_top = static_cast<std::int8_t>(is_second ? bits & 0xf0U : bits << 4U);
  return static_cast<std::int8_t>(at_top / 16);
}

/// Rows [first_row, first_row + n_rows) of a tensor whose rows have that many bytes.
Result<std::vector<std::byte>> stored_rows(const StoredTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                                           std::size_t row_bytes) {
  std::vector<std::byte> rows(row_bytes * static_cast<std::size_t>(n_rows));
  SS_TRY_VOID(tensor.file->read_at(tensor.info.offset_bytes + static_cast<std::size_t>(first_row) * row_bytes, rows));
  return rows;
}

std::size_t bytes_of(ScaleType type) {
  return type == ScaleType::kF32 ? sizeof(float) : type == ScaleType::kF16 ? sizeof(F16) : 1;
}

/// The scale that is stored at `at`.
float scale_at(const std::byte* at, ScaleType type) {
  switch (type) {
    case ScaleType::kE8m0:
      return to_float(E8m0{static_cast<std::uint8_t>(*at)});
    case ScaleType::kE4m3:
      return to_float(E4m3{static_cast<std::uint8_t>(*at)});
    case ScaleType::kF16: {
      F16 half;
      std::memcpy(&half, at, sizeof half);
      return to_float(half);
    }
    case ScaleType::kF32:
      break;
  }
  float scale = 0.0F;
  std::memcpy(&scale, at, sizeof scale);
  return scale;
}

/// Groups of a row as a backend gets them, and how many of these groups share one stored scale.
struct GroupSpread {
  std::size_t n_groups = 0;
  std::size_t repeats = 1;
};
GroupSpread spread_of(const PublishedForm& form, std::int64_t n_cols) {
  const std::int64_t n_floats = scales_per_row(form.encoding, n_cols) - floats_before_group_scales(form.encoding);
  const auto n_groups = static_cast<std::size_t>(form.has_zero_points() ? n_floats / 2 : n_floats);
  if (form.group == 0) return {n_groups, n_groups};
  return {n_groups, static_cast<std::size_t>(form.group / group_columns(form.encoding))};
}

}  // namespace

ScaleType type_of_scales(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kMxfp4Group32:
      return ScaleType::kE8m0;
    case WeightEncoding::kNvfp4Group16:
      return ScaleType::kE4m3;
    case WeightEncoding::kInt8PerRow:
    case WeightEncoding::kFp8PerRow:
    case WeightEncoding::kFp8Group128:
      return ScaleType::kF32;
    default:
      return ScaleType::kF16;
  }
}

Shape shape_of_rows(const PublishedForm& form, const Shape& shape) {
  if (!form.is_transposed) return shape;
  std::vector<std::int64_t> extents(shape.extents().begin(), shape.extents().end());
  std::swap(extents[extents.size() - 2], extents.back());
  return Shape(extents);
}

std::string ending_of_codes(WeightEncoding encoding) {
  return has_blocks(encoding) ? fmt::format(".{}", to_string(encoding)) : std::string(kCodesEnding);
}

std::string_view stored_type_of_codes(WeightEncoding encoding) {
  if (has_four_bit_codes(encoding) || has_blocks(encoding)) return "U8";
  return has_fp8_codes(encoding) ? "F8_E4M3" : "I8";
}

std::int64_t stored_scales_per_row(const PublishedForm& form, std::int64_t n_cols) {
  return form.group == 0 ? 1 : ceil_divide(n_cols, form.group);
}

Shape stored_shape_of_codes(const PublishedForm& form, const Shape& shape) {
  const Shape rows = shape_of_rows(form, shape);
  const std::int64_t n_cols = rows.extent(rows.rank() - 1);
  if (const BlockForm blocks = block_form(form.encoding); blocks.n_cols > 0) {
    return rows.with_last(n_cols / blocks.n_cols * blocks.n_bytes);
  }
  return rows.with_last(has_four_bit_codes(form.encoding) ? n_cols / 2 : n_cols);
}

Shape stored_shape_of_scales(const PublishedForm& form, const Shape& shape) {
  const Shape rows = shape_of_rows(form, shape);
  const std::int64_t n_scales = stored_scales_per_row(form, rows.extent(rows.rank() - 1));
  if (form.rows_of_scale() == 1) return rows.with_last(n_scales);
  return {ceil_divide(shape.extent(0), form.rows_of_scale()), n_scales};
}

Result<void> PublishedWeight::read_rows(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows,
                                        std::span<std::byte> values, std::span<float> out_scales) const {
  SS_CHECK(static_cast<std::int64_t>(values.size()) == n_rows * n_cols, "values: wrong size");
  SS_CHECK(static_cast<std::int64_t>(out_scales.size()) == n_rows * scales_per_row(form.encoding, n_cols),
           "scales: wrong size");
  if (has_blocks(form.encoding)) return read_blocks(n_cols, first_row, n_rows, values, out_scales);
  SS_TRY_VOID(read_codes(n_cols, first_row, n_rows, values));
  SS_TRY_VOID(read_scales(n_cols, first_row, n_rows, out_scales));
  if (form.has_zero_points()) SS_TRY_VOID(read_zeros(n_cols, first_row, n_rows, out_scales));
  return {};
}

Result<void> PublishedWeight::read_codes(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows,
                                         std::span<std::byte> values) const {
  if (has_four_bit_codes(form.encoding)) {
    const bool is_signed = has_int4_codes(form.encoding);
    SS_TRY(const std::vector<std::byte> pairs,
           stored_rows(codes, first_row, n_rows, static_cast<std::size_t>(n_cols / 2)));
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      values[2 * i] = static_cast<std::byte>(four_bits_of(pairs[i], false, is_signed));
      values[2 * i + 1] = static_cast<std::byte>(four_bits_of(pairs[i], true, is_signed));
    }
    return {};
  }
  const auto row_bytes = static_cast<std::size_t>(n_cols);
  SS_TRY_VOID(codes.file->read_at(codes.info.offset_bytes + static_cast<std::size_t>(first_row) * row_bytes, values));
  if (!has_fp8_codes(form.encoding)) return {};
  for (const std::byte code : values) {
    if (!is_nan(E4m3{static_cast<std::uint8_t>(code)})) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("tensor {}: expected numbers, found the code of none", printable(codes.info.name))};
  }
  return {};
}

Result<void> PublishedWeight::read_scales(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows,
                                          std::span<float> out) const {
  const auto n_stored = static_cast<std::size_t>(stored_scales_per_row(form, n_cols));
  const auto n_floats = static_cast<std::size_t>(scales_per_row(form.encoding, n_cols));
  const ScaleType type = type_of_scales(form.encoding);
  const std::size_t scale_bytes = bytes_of(type);
  const auto first_scale = static_cast<std::size_t>(floats_before_group_scales(form.encoding));
  const std::int64_t first_stored = first_row / form.rows_of_scale();
  const std::int64_t end_stored = ceil_divide(first_row + n_rows, form.rows_of_scale());
  SS_TRY(const std::vector<std::byte> stored,
         stored_rows(scales, first_stored, end_stored - first_stored, n_stored * scale_bytes));
  const GroupSpread spread = spread_of(form, n_cols);
  for (std::size_t row = 0; row < static_cast<std::size_t>(n_rows); ++row) {
    const std::int64_t block = (first_row + static_cast<std::int64_t>(row)) / form.rows_of_scale() - first_stored;
    if (first_scale > 0) out[row * n_floats] = global_scale;
    for (std::size_t i = 0; i < spread.n_groups; ++i) {
      const std::byte* const at =
          stored.data() + (static_cast<std::size_t>(block) * n_stored + i / spread.repeats) * scale_bytes;
      const float scale = scale_at(at, type);
      if (!std::isfinite(scale)) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("tensor {}: row {}: expected finite scales, found others", printable(scales.info.name),
                                 first_row + static_cast<std::int64_t>(row))};
      }
      out[row * n_floats + first_scale + i] = scale;
    }
  }
  return {};
}

Result<void> PublishedWeight::read_blocks(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows,
                                          std::span<std::byte> values, std::span<float> floats) const {
  const BlockForm blocks = block_form(form.encoding);
  const auto block_bytes = static_cast<std::size_t>(blocks.n_bytes);
  const auto block_cols = static_cast<std::size_t>(blocks.n_cols);
  const auto n_blocks = static_cast<std::size_t>(n_cols / blocks.n_cols);
  SS_TRY(const std::vector<std::byte> stored, stored_rows(codes, first_row, n_rows, n_blocks * block_bytes));
  const auto n_floats = static_cast<std::size_t>(blocks.n_floats());
  for (std::size_t block = 0; block < n_blocks * static_cast<std::size_t>(n_rows); ++block) {
    const std::span<float> of_block = floats.subspan(block * n_floats, n_floats);
    parts_of_block(form.encoding, stored.data() + block * block_bytes, values.subspan(block * block_cols, block_cols),
                   of_block);
    for (const float unit : of_block.first(static_cast<std::size_t>(blocks.n_units()))) {
      if (std::isfinite(unit)) continue;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("tensor {}: row {}: expected finite scales, found others", printable(codes.info.name),
                               first_row + static_cast<std::int64_t>(block / n_blocks))};
    }
  }
  return {};
}

Result<void> PublishedWeight::read_zeros(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows,
                                         std::span<float> out) const {
  const auto n_stored = static_cast<std::size_t>(stored_scales_per_row(form, n_cols));
  SS_TRY(const std::vector<std::byte> stored, stored_rows(*zeros, first_row, n_rows, n_stored));
  const GroupSpread spread = spread_of(form, n_cols);
  for (std::size_t row = 0; row < static_cast<std::size_t>(n_rows); ++row) {
    for (std::size_t i = 0; i < spread.n_groups; ++i) {
      const auto zero = static_cast<std::int8_t>(stored[row * n_stored + i / spread.repeats]);
      if (zero < kLeastZero || zero > kLargestZero) {
        return Error{
            ErrorCode::kInvalidInput,
            fmt::format("tensor {}: row {}: expected zero points from {} to {}, found {}", printable(zeros->info.name),
                        first_row + static_cast<std::int64_t>(row), kLeastZero, kLargestZero, zero)};
      }
      out[(2 * row + 1) * spread.n_groups + i] = static_cast<float>(zero);
    }
  }
  return {};
}

Result<void> PublishedWeight::read_values(std::int64_t row, std::span<float> values, std::vector<std::byte>& row_codes,
                                          std::vector<float>& row_scales) const {
  const auto n_cols = static_cast<std::int64_t>(values.size());
  const std::int64_t n_scales = scales_per_row(form.encoding, n_cols);
  row_codes.resize(values.size());
  row_scales.resize(static_cast<std::size_t>(n_scales));
  SS_TRY_VOID(read_rows(n_cols, row, 1, row_codes, row_scales));
  if (const BlockForm blocks = block_form(form.encoding); blocks.n_cols > 0) {
    const auto block_cols = static_cast<std::size_t>(blocks.n_cols);
    const auto n_floats = static_cast<std::size_t>(blocks.n_floats());
    for (std::size_t first = 0; first < values.size(); first += block_cols) {
      values_of_block(form.encoding, std::span(row_codes).subspan(first, block_cols),
                      std::span(row_scales).subspan(first / block_cols * n_floats, n_floats),
                      values.subspan(first, block_cols));
    }
    return {};
  }
  const bool is_fp8 = has_fp8_codes(form.encoding);
  const bool is_e2m1 = has_e2m1_codes(form.encoding);
  const bool is_nvfp4 = form.encoding == WeightEncoding::kNvfp4Group16;
  const std::size_t n_groups = spread_of(form, n_cols).n_groups;
  const auto first_scale = static_cast<std::size_t>(floats_before_group_scales(form.encoding));
  const std::size_t group_cols = n_groups == 1 ? values.size() : static_cast<std::size_t>(group_columns(form.encoding));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = static_cast<std::uint8_t>(row_codes[i]);
    const float code = is_fp8    ? to_float(E4m3{bits})
                       : is_e2m1 ? to_float(E2m1{bits})
                                 : static_cast<float>(static_cast<std::int8_t>(bits));
    const std::size_t group = std::min(i / group_cols, n_groups - 1);
    const float zero_point = form.has_zero_points() ? row_scales[n_groups + group] : 0.0F;
    const std::size_t place = columns.empty() ? i : static_cast<std::size_t>(columns[i]);
    values[place] = (code - zero_point) * row_scales[first_scale + group];
    if (is_nvfp4) values[place] *= global_scale;
  }
  return {};
}

}  // namespace secondsource
