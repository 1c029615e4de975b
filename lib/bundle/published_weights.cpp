#include "bundle/published_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "backend/block_values.h"
#include "bundle/gguf_blocks.h"
#include "bundle/variant.h"
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

bool is_by_row(WeightEncoding encoding) {
  return encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kFp8PerRow;
}

/// The shape with another innermost extent.
Shape with_columns(const Shape& shape, std::int64_t n_cols) {
  std::vector<std::int64_t> extents(shape.extents().begin(), shape.extents().end());
  extents.back() = n_cols;
  return Shape(extents);
}

/// The encoding that codes and scales of these types have in a variant, with or without zero points; nullopt for other
/// types.
std::optional<WeightEncoding> encoding_of_types(const Variant& variant, std::string_view codes, std::string_view scales,
                                                bool has_zeros) {
  using enum WeightEncoding;
  // A GGUF file may mix block types, whatever type its variant is named after.
  const bool is_gguf = variant.name.starts_with(kGgufMethod);
  if (variant.matmul == kNvfp4Group16 || is_gguf) {
    if (codes == "U8" && scales == "F8_E4M3" && !has_zeros) return kNvfp4Group16;
    if (!is_gguf) return std::nullopt;
  }
  const bool may_have_e2m1 = variant.matmul == kMxfp4Group32 || is_gguf;
  if (codes == "U8" && scales == "U8" && !has_zeros && may_have_e2m1) return kMxfp4Group32;
  if (codes == "U8" && scales == "F16") return has_zeros ? kInt4Group32Zero : kInt4Group32;
  if (has_zeros) return std::nullopt;
  if (codes == "I8" && scales == "F16") return kInt8Group32;
  if (codes == "I8" && scales == "F32") return kInt8PerRow;
  if (codes == "F8_E4M3" && scales == "F32") return variant.matmul == kFp8Group128 ? kFp8Group128 : kFp8PerRow;
  return std::nullopt;
}

/// Consecutive columns that share a stored scale in a tensor of this encoding (PublishedForm::group).
std::int64_t group_of(const Variant& variant, WeightEncoding encoding) {
  if (is_by_row(encoding)) return 0;
  if (variant.name.starts_with(kGgufMethod)) return group_columns(encoding);
  return variant.group;
}

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
    return with_columns(rows, n_cols / blocks.n_cols * blocks.n_bytes);
  }
  return with_columns(rows, has_four_bit_codes(form.encoding) ? n_cols / 2 : n_cols);
}

Shape stored_shape_of_scales(const PublishedForm& form, const Shape& shape) {
  const Shape rows = shape_of_rows(form, shape);
  const std::int64_t n_scales = stored_scales_per_row(form, rows.extent(rows.rank() - 1));
  if (form.rows_of_scale() == 1) return with_columns(rows, n_scales);
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

namespace {

/// The part of join_published_weights() for tensors of whole blocks in one encoding. refuse(info, expected) makes the
/// error.
template <typename Refuse>
Result<void> join_blocks(WeightEncoding encoding, const Variant& variant,
                         std::map<std::string, StoredTensor, std::less<>>& tensors, const Refuse& refuse) {
  const std::string ending = ending_of_codes(encoding);
  const BlockForm block = block_form(encoding);
  std::vector<std::string> names;
  for (const auto& [tensor, stored] : tensors) {
    if (tensor.ends_with(ending)) names.push_back(tensor);
  }
  for (const std::string& name : names) {
    const auto blocks = tensors.find(name);
    const TensorInfo& info = blocks->second.info;
    const std::size_t rank = info.shape.rank();
    std::string tensor = name.substr(0, name.size() - ending.size());
    const bool is_transposed = tensor.ends_with(kTransposedEnding);
    if (is_transposed) tensor.resize(tensor.size() - kTransposedEnding.size());
    if (!variant.name.starts_with(kGgufMethod))
      return refuse(info, fmt::format("no blocks of GGUF in {}", variant.name));
    if (info.dtype_name != "U8" || rank < 2 || rank > 3 || (is_transposed && rank != 3)) {
      return refuse(info, "blocks U8 of a matrix, or of several where they are transposed");
    }
    const std::int64_t row_bytes = info.shape.extent(rank - 1);
    if (*info.shape.n_elements() == 0 || row_bytes % block.n_bytes != 0) {
      return refuse(info, fmt::format("rows of whole blocks of {} bytes", block.n_bytes));
    }
    const PublishedForm form{encoding, kScaleGroupSize, is_transposed};
    const Shape shape = shape_of_rows(form, with_columns(info.shape, row_bytes / block.n_bytes * block.n_cols));
    if (!checked_multiply<std::int64_t>(*info.shape.n_elements(), 16)) return refuse(info, "a size that fits");
    StoredTensor joined{.info = {.name = tensor, .dtype_name = "F32", .dtype = DType::kF32, .shape = shape},
                        .file = blocks->second.file};
    joined.published = std::make_shared<const PublishedWeight>(PublishedWeight{form, std::move(blocks->second), {}});
    tensors.erase(blocks);
    if (!tensors.try_emplace(tensor, joined).second) return refuse(joined.info, "it once, by its values or its blocks");
  }
  return {};
}

/// Reads the order of columns that `stored` gives for codes of this form; empty if it is the weight's own order.
/// refuse(info, expected) makes the error.
template <typename Refuse>
Result<std::vector<std::int32_t>> order_of_columns(const StoredTensor& stored, const PublishedForm& form,
                                                   const Shape& shape, std::string_view name, const Refuse& refuse) {
  const bool has_groups = form.encoding == WeightEncoding::kInt8Group32 || has_int4_codes(form.encoding);
  if (!has_groups || form.group == 0 || shape.rank() != 2) {
    return refuse(stored.info, "an order of columns only beside codes of a matrix with scales of groups");
  }
  const std::int64_t n_cols = shape.extent(1);
  if (stored.info.dtype_name != "I32" || stored.info.shape != Shape{n_cols}) {
    return refuse(stored.info, fmt::format("an order of columns I32 [{}]", n_cols));
  }
  std::vector<std::int32_t> columns(static_cast<std::size_t>(n_cols));
  SS_TRY_VOID(stored.file->read_at(stored.info.offset_bytes, std::as_writable_bytes(std::span(columns))));
  std::vector<bool> is_there(columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::int32_t column = columns[i];
    if (column < 0 || column >= n_cols || is_there[static_cast<std::size_t>(column)]) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: tensor {}: [{}]: expected every column from 0 to {} once, found {}", name,
                               printable(stored.info.name), i, n_cols - 1, column)};
    }
    is_there[static_cast<std::size_t>(column)] = true;
  }
  if (std::ranges::is_sorted(columns)) columns.clear();
  return columns;
}

/// Reads a single scale (of inputs, or a global one) from `stored`. refuse(info, expected) makes the error.
template <typename Refuse>
Result<float> read_one_scale(const StoredTensor& stored, std::string_view name, const Refuse& refuse) {
  if (stored.info.dtype_name != "F32" || stored.info.shape != Shape{1}) return refuse(stored.info, "a scale F32 [1]");
  float scale = 0.0F;
  SS_TRY_VOID(stored.file->read_at(stored.info.offset_bytes, std::as_writable_bytes(std::span(&scale, 1))));
  if (scale > 0.0F && std::isfinite(scale)) return scale;
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected a positive scale, found {}", name,
                                                     printable(stored.info.name), scale)};
}

}  // namespace

Result<void> join_published_weights(std::string_view variant, std::map<std::string, StoredTensor, std::less<>>& tensors,
                                    std::string_view name) {
  const Result<Variant> known = variant_from_name(variant);
  if (!known) return known.error().with_context(fmt::format("{}: {}", name, kPublishedKey));
  if (!is_published_variant(variant)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}: expected the name of a published variant, found {}",
                                                       name, kPublishedKey, in_quotes(variant))};
  }
  const auto refuse = [&](const TensorInfo& info, std::string_view expected) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: tensor {}: expected {}, found {} {}", name, printable(info.name), expected,
                             info.dtype_name, info.shape.to_string())};
  };
  std::vector<std::string> bases;
  for (const auto& [tensor, stored] : tensors) {
    if (tensor.ends_with(kCodesEnding)) bases.push_back(tensor.substr(0, tensor.size() - kCodesEnding.size()));
  }
  for (const WeightEncoding encoding : kBlockEncodings) {
    SS_TRY_VOID(join_blocks(encoding, *known, tensors, refuse));
  }
  for (const std::string& base : bases) {
    const auto codes = tensors.find(base + std::string(kCodesEnding));
    const auto scales = tensors.find(base + std::string(kScalesEnding));
    const auto zeros = tensors.find(base + std::string(kZerosEnding));
    const TensorInfo& info = codes->second.info;
    // A tensor of GGUF blocks, which join_blocks() has joined already, is not a tensor of scales.
    if (scales == tensors.end() || scales->second.published) return refuse(info, "scales beside codes");
    const TensorInfo& of_scales = scales->second.info;
    const bool has_zeros = zeros != tensors.end();
    if (has_zeros != (known->matmul == WeightEncoding::kInt4Group32Zero)) {
      return refuse(has_zeros ? zeros->second.info : info,
                    fmt::format("{} zero points in {}", has_zeros ? "no" : "codes beside", variant));
    }
    const auto encoding = encoding_of_types(*known, info.dtype_name, of_scales.dtype_name, has_zeros);
    const std::size_t rank = info.shape.rank();
    if (!encoding || rank < 2 || rank > 3) {
      return refuse(
          info,
          has_zeros
              ? "codes U8 of a matrix with zero points, with scales F16"
              : "codes U8, I8 or F8_E4M3 of a matrix, with scales F16, F32, U8 or F8_E4M3, as the variant has them");
    }
    const bool is_transposed = base.ends_with(kTransposedEnding);
    if (is_transposed && rank != 3) return refuse(info, "codes of several matrices where they are transposed");
    // Any other extent is bounded by the size of the file.
    if (*info.shape.n_elements() == 0) return refuse(info, "codes of a matrix with rows and columns");
    if (*encoding == WeightEncoding::kFp8Group128 && rank != 2) return refuse(info, "codes of a matrix, in blocks");
    if (has_global_scale(*encoding) && rank != 2) return refuse(info, "codes of a matrix with its global scale");
    const std::int64_t n_cols = info.shape.extent(rank - 1) * (has_four_bit_codes(*encoding) ? 2 : 1);
    const PublishedForm form{*encoding, group_of(*known, *encoding), is_transposed};
    const Shape shape = shape_of_rows(form, with_columns(info.shape, n_cols));
    if (of_scales.shape != stored_shape_of_scales(form, shape)) {
      return refuse(of_scales, fmt::format("scales of {} as {} has them", info.shape.to_string(), variant));
    }
    if (has_zeros && (zeros->second.info.dtype_name != "I8" || zeros->second.info.shape != of_scales.shape)) {
      return refuse(zeros->second.info, fmt::format("zero points I8 {}", of_scales.shape.to_string()));
    }
    const auto n_bytes = checked_multiply<std::int64_t>(*info.shape.n_elements(), 8);
    if (!n_bytes) return refuse(info, "a size that fits");
    std::vector<std::int32_t> order;
    const auto columns = tensors.find(base + std::string(kColumnsEnding));
    if (columns != tensors.end()) {
      SS_TRY(order, order_of_columns(columns->second, form, shape, name, refuse));
      tensors.erase(columns);
    }
    float input_scale = 0.0F;
    if (has_stored_scale(known->activations)) {
      const auto stored = tensors.find(base + std::string(kInputScaleEnding));
      if (stored == tensors.end()) return refuse(info, fmt::format("a scale of inputs beside codes in {}", variant));
      SS_TRY(input_scale, read_one_scale(stored->second, name, refuse));
      tensors.erase(stored);
    }
    float global_scale = 0.0F;
    if (has_global_scale(*encoding)) {
      const auto stored = tensors.find(base + std::string(kGlobalScaleEnding));
      if (stored == tensors.end()) return refuse(info, fmt::format("a global scale beside codes in {}", variant));
      SS_TRY(global_scale, read_one_scale(stored->second, name, refuse));
      tensors.erase(stored);
    }
    const std::string tensor = base.substr(0, base.size() - (is_transposed ? kTransposedEnding.size() : 0));
    StoredTensor joined{.info = {.name = tensor, .dtype_name = "F32", .dtype = DType::kF32, .shape = shape},
                        .file = codes->second.file};
    PublishedWeight published{form, std::move(codes->second), std::move(scales->second)};
    if (has_zeros) published.zeros = std::move(zeros->second);
    published.columns = std::move(order);
    published.input_scale = input_scale;
    published.global_scale = global_scale;
    joined.published = std::make_shared<const PublishedWeight>(std::move(published));
    tensors.erase(codes);
    tensors.erase(scales);
    if (has_zeros) tensors.erase(zeros);
    if (!tensors.try_emplace(tensor, std::move(joined)).second) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("{}: tensor {}: expected it once, found its values and its codes", name, printable(tensor))};
    }
  }
  for (const auto& [tensor, stored] : tensors) {
    if (stored.published) continue;
    if (tensor.ends_with(kScalesEnding)) return refuse(stored.info, "codes beside scales");
    if (tensor.ends_with(kZerosEnding)) return refuse(stored.info, "codes beside zero points");
    if (tensor.ends_with(kColumnsEnding)) return refuse(stored.info, "codes beside an order of columns");
    if (tensor.ends_with(kGlobalScaleEnding)) return refuse(stored.info, "a global scale beside codes of NVFP4 alone");
    if (tensor.ends_with(kInputScaleEnding)) {
      return refuse(stored.info, "a scale of inputs beside codes of static FP8 or INT8 or of NVFP4 alone");
    }
  }
  return {};
}

}  // namespace secondsource
