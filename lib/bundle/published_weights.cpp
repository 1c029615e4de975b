#include "bundle/published_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "bundle/variant.h"
#include "core/check.h"
#include "core/checked.h"
#include "core/e4m3.h"
#include "core/half.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

bool is_by_row(WeightEncoding encoding) {
  return encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kFp8PerRow;
}

/// The shape with another innermost extent.
Shape with_columns(const Shape& shape, std::int64_t n_cols) {
  std::vector<std::int64_t> extents(shape.extents().begin(), shape.extents().end());
  extents.back() = n_cols;
  return Shape(extents);
}

/// The encoding that codes and scales of these types have; nullopt for other types.
std::optional<WeightEncoding> encoding_of_types(std::string_view codes, std::string_view scales) {
  using enum WeightEncoding;
  if (codes == "U8" && scales == "F16") return kInt4Group32;
  if (codes == "I8" && scales == "F16") return kInt8Group32;
  if (codes == "I8" && scales == "F32") return kInt8PerRow;
  if (codes == "F8_E4M3" && scales == "F32") return kFp8PerRow;
  return std::nullopt;
}

/// The sign-extended nibble of a column.
std::int8_t int4_of(std::byte pair, bool is_second) {
  const auto bits = static_cast<std::uint8_t>(pair);
  const auto at_top = static_cast<std::int8_t>(is_second ? bits & 0xf0U : bits << 4U);
  return static_cast<std::int8_t>(at_top / 16);
}

}  // namespace

std::string_view stored_type_of_codes(WeightEncoding encoding) {
  if (encoding == WeightEncoding::kInt4Group32) return "U8";
  return encoding == WeightEncoding::kFp8PerRow ? "F8_E4M3" : "I8";
}

std::int64_t stored_scales_per_row(const PublishedForm& form, std::int64_t n_cols) {
  return form.group == 0 ? 1 : ceil_divide(n_cols, form.group);
}

Shape stored_shape_of_codes(const PublishedForm& form, const Shape& shape) {
  const std::int64_t n_cols = shape.extent(shape.rank() - 1);
  return with_columns(shape, form.encoding == WeightEncoding::kInt4Group32 ? n_cols / 2 : n_cols);
}

Shape stored_shape_of_scales(const PublishedForm& form, const Shape& shape) {
  return with_columns(shape, stored_scales_per_row(form, shape.extent(shape.rank() - 1)));
}

Result<void> PublishedWeight::read_rows(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows,
                                        std::span<std::byte> values, std::span<float> out_scales) const {
  const bool is_int4 = form.encoding == WeightEncoding::kInt4Group32;
  const auto n_values = static_cast<std::size_t>(n_rows * n_cols);
  const auto n_scales = static_cast<std::size_t>(scales_per_row(form.encoding, n_cols));
  SS_CHECK(values.size() == n_values, "values: wrong size");
  SS_CHECK(out_scales.size() == n_scales * static_cast<std::size_t>(n_rows), "scales: wrong size");
  const auto row_bytes = static_cast<std::size_t>(is_int4 ? n_cols / 2 : n_cols);
  const std::size_t begin = codes.info.offset_bytes + static_cast<std::size_t>(first_row) * row_bytes;
  if (is_int4) {
    std::vector<std::byte> pairs(n_values / 2);
    SS_TRY_VOID(codes.file->read_at(begin, pairs));
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      values[2 * i] = static_cast<std::byte>(int4_of(pairs[i], false));
      values[2 * i + 1] = static_cast<std::byte>(int4_of(pairs[i], true));
    }
  } else {
    SS_TRY_VOID(codes.file->read_at(begin, values));
  }
  if (form.encoding == WeightEncoding::kFp8PerRow) {
    for (const std::byte code : values) {
      if (!is_nan(E4m3{static_cast<std::uint8_t>(code)})) continue;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("tensor {}: expected numbers, found the code of none", printable(codes.info.name))};
    }
  }

  const auto n_stored = static_cast<std::size_t>(stored_scales_per_row(form, n_cols));
  const bool is_f16 = scales.info.dtype == DType::kF16;
  const std::size_t scale_bytes = is_f16 ? sizeof(F16) : sizeof(float);
  std::vector<std::byte> stored(n_stored * static_cast<std::size_t>(n_rows) * scale_bytes);
  SS_TRY_VOID(scales.file->read_at(
      scales.info.offset_bytes + static_cast<std::size_t>(first_row) * n_stored * scale_bytes, stored));
  const std::size_t repeats = form.group == 0 ? n_scales : static_cast<std::size_t>(form.group / kScaleGroupSize);
  for (std::size_t row = 0; row < static_cast<std::size_t>(n_rows); ++row) {
    for (std::size_t i = 0; i < n_scales; ++i) {
      const std::byte* const at = stored.data() + (row * n_stored + i / repeats) * scale_bytes;
      float scale = 0.0F;
      if (is_f16) {
        F16 half;
        std::memcpy(&half, at, sizeof half);
        scale = to_float(half);
      } else {
        std::memcpy(&scale, at, sizeof scale);
      }
      if (!std::isfinite(scale)) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("tensor {}: row {}: expected finite scales, found others", printable(scales.info.name),
                                 first_row + static_cast<std::int64_t>(row))};
      }
      out_scales[row * n_scales + i] = scale;
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
  const bool is_fp8 = form.encoding == WeightEncoding::kFp8PerRow;
  const std::size_t columns = n_scales == 1 ? values.size() : static_cast<std::size_t>(kScaleGroupSize);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = static_cast<std::uint8_t>(row_codes[i]);
    const float code = is_fp8 ? to_float(E4m3{bits}) : static_cast<float>(static_cast<std::int8_t>(bits));
    values[i] = code * row_scales[std::min(i / columns, row_scales.size() - 1)];
  }
  return {};
}

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
  for (const std::string& base : bases) {
    const auto codes = tensors.find(base + std::string(kCodesEnding));
    const auto scales = tensors.find(base + std::string(kScalesEnding));
    const TensorInfo& info = codes->second.info;
    if (scales == tensors.end()) return refuse(info, "scales beside codes");
    const TensorInfo& of_scales = scales->second.info;
    const auto encoding = encoding_of_types(info.dtype_name, of_scales.dtype_name);
    const std::size_t rank = info.shape.rank();
    if (!encoding || rank < 2 || rank > 3)
      return refuse(info, "codes U8, I8 or F8_E4M3 of a matrix, with scales F16 or F32");
    const bool is_int4 = *encoding == WeightEncoding::kInt4Group32;
    const std::int64_t n_cols = info.shape.extent(rank - 1) * (is_int4 ? 2 : 1);
    const PublishedForm form{*encoding, is_by_row(*encoding) ? 0 : known->group};
    const Shape shape = with_columns(info.shape, n_cols);
    if (n_cols == 0 || of_scales.shape != stored_shape_of_scales(form, shape)) {
      return refuse(of_scales, fmt::format("scales of {} as {} has them", info.shape.to_string(), variant));
    }
    const auto n_bytes = checked_multiply<std::int64_t>(*info.shape.n_elements(), 8);
    if (!n_bytes) return refuse(info, "a size that fits");
    StoredTensor joined{.info = {.name = base, .dtype_name = "F32", .dtype = DType::kF32, .shape = shape},
                        .file = codes->second.file};
    joined.published = std::make_shared<const PublishedWeight>(
        PublishedWeight{form, std::move(codes->second), std::move(scales->second)});
    tensors.erase(codes);
    tensors.erase(scales);
    if (!tensors.try_emplace(base, std::move(joined)).second) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("{}: tensor {}: expected it once, found its values and its codes", name, printable(base))};
    }
  }
  for (const auto& [tensor, stored] : tensors) {
    if (!stored.published && tensor.ends_with(kScalesEnding)) return refuse(stored.info, "codes beside scales");
  }
  return {};
}

}  // namespace secondsource
