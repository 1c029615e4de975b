#include "bundle/join_published_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "bundle/published_weights.h"
#include "bundle/variant.h"
#include "core/checked.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

using StoredTensors = std::map<std::string, StoredTensor, std::less<>>;

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
  if (encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kFp8PerRow) return 0;
  if (variant.name.starts_with(kGgufMethod)) return group_columns(encoding);
  return variant.group;
}

/// Joins the tensors of one file.
class WeightJoiner {
 public:
  WeightJoiner(const Variant& variant, StoredTensors& tensors, std::string_view file)
      : variant_(&variant), tensors_(&tensors), file_(file) {}

  /// Joins every tensor of whole blocks in this encoding.
  Result<void> join_blocks(WeightEncoding encoding);
  /// Joins every tensor of codes with what stands beside it.
  Result<void> join_codes();
  /// Fails if there is a part of a weight without its codes.
  [[nodiscard]] Result<void> check_that_no_part_is_left() const;

 private:
  [[nodiscard]] Error refuse(const TensorInfo& info, std::string_view expected) const;
  /// Returns nullptr if there is no tensor of that name.
  [[nodiscard]] const StoredTensor* find(const std::string& tensor) const;
  /// The names of all tensors with this ending, without it.
  [[nodiscard]] std::vector<std::string> names_before(std::string_view ending) const;

  Result<void> join_codes_of(const std::string& name);
  [[nodiscard]] Result<PublishedForm> form_of(const std::string& name, const TensorInfo& codes,
                                              const TensorInfo& scales, const StoredTensor* zeros) const;
  /// The shape of the weight whose codes these are, if all parts fit it.
  [[nodiscard]] Result<Shape> shape_of(const PublishedForm& form, const TensorInfo& codes, const TensorInfo& scales,
                                       const StoredTensor* zeros) const;
  /// Removes the order of columns from the tensors; empty if there is none, or if it is the weight's own.
  Result<std::vector<std::int32_t>> take_columns(const std::string& name, const PublishedForm& form,
                                                 const Shape& shape);
  [[nodiscard]] Result<std::vector<std::int32_t>> read_columns(const StoredTensor& stored, std::int64_t n_cols) const;
  /// Removes the tensor of a single scale, which is required beside `codes`, and returns its value.
  Result<float> take_scale(const std::string& tensor, const TensorInfo& codes, std::string_view what);
  /// Adds the joined weight under the name of its values. `name` may end with kTransposedEnding.
  Result<void> add(std::string_view name, const Shape& shape, PublishedWeight published);

  const Variant* variant_;
  StoredTensors* tensors_;
  std::string_view file_;
};

Error WeightJoiner::refuse(const TensorInfo& info, std::string_view expected) const {
  return {ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected {}, found {} {}", file_, printable(info.name),
                                                expected, info.dtype_name, info.shape.to_string())};
}

const StoredTensor* WeightJoiner::find(const std::string& tensor) const {
  const auto found = tensors_->find(tensor);
  return found == tensors_->end() ? nullptr : &found->second;
}

std::vector<std::string> WeightJoiner::names_before(std::string_view ending) const {
  std::vector<std::string> names;
  for (const auto& [tensor, stored] : *tensors_) {
    if (tensor.ends_with(ending)) names.push_back(tensor.substr(0, tensor.size() - ending.size()));
  }
  return names;
}

Result<void> WeightJoiner::join_blocks(WeightEncoding encoding) {
  const std::string ending = ending_of_codes(encoding);
  const BlockForm block = block_form(encoding);
  for (const std::string& name : names_before(ending)) {
    StoredTensor blocks = tensors_->at(name + ending);
    const TensorInfo& info = blocks.info;
    const std::size_t rank = info.shape.rank();
    const bool is_transposed = name.ends_with(kTransposedEnding);
    if (!variant_->name.starts_with(kGgufMethod)) {
      return refuse(info, fmt::format("no blocks of GGUF in {}", variant_->name));
    }
    if (info.dtype_name != "U8" || rank < 2 || rank > 3 || (is_transposed && rank != 3)) {
      return refuse(info, "blocks U8 of a matrix, or of several where they are transposed");
    }
    const std::int64_t row_bytes = info.shape.extent(rank - 1);
    if (*info.shape.n_elements() == 0 || row_bytes % block.n_bytes != 0) {
      return refuse(info, fmt::format("rows of whole blocks of {} bytes", block.n_bytes));
    }
    if (!checked_multiply<std::int64_t>(*info.shape.n_elements(), 16)) return refuse(info, "a size that fits");
    const PublishedForm form{encoding, kScaleGroupSize, is_transposed};
    const Shape shape = shape_of_rows(form, info.shape.with_last(row_bytes / block.n_bytes * block.n_cols));
    tensors_->erase(name + ending);
    SS_TRY_VOID(add(name, shape, PublishedWeight{form, std::move(blocks), {}}));
  }
  return {};
}

Result<void> WeightJoiner::join_codes() {
  for (const std::string& name : names_before(kCodesEnding)) {
    SS_TRY_VOID(join_codes_of(name));
  }
  return {};
}

Result<void> WeightJoiner::join_codes_of(const std::string& name) {
  const std::string codes_name = name + std::string(kCodesEnding);
  const std::string scales_name = name + std::string(kScalesEnding);
  const std::string zeros_name = name + std::string(kZerosEnding);
  const TensorInfo codes = tensors_->at(codes_name).info;
  const StoredTensor* scales = find(scales_name);
  const StoredTensor* zeros = find(zeros_name);
  // A tensor of GGUF blocks, which join_blocks() has joined already, is not a tensor of scales.
  if (scales == nullptr || scales->published) return refuse(codes, "scales beside codes");
  SS_TRY(const PublishedForm form, form_of(name, codes, scales->info, zeros));
  SS_TRY(const Shape shape, shape_of(form, codes, scales->info, zeros));
  PublishedWeight published{form, tensors_->at(codes_name), *scales};
  if (zeros != nullptr) published.zeros = *zeros;
  SS_TRY(published.columns, take_columns(name, form, shape));
  if (has_stored_scale(variant_->activations)) {
    SS_TRY(published.input_scale, take_scale(name + std::string(kInputScaleEnding), codes, "a scale of inputs"));
  }
  if (has_global_scale(form.encoding)) {
    SS_TRY(published.global_scale, take_scale(name + std::string(kGlobalScaleEnding), codes, "a global scale"));
  }
  for (const std::string& part : {codes_name, scales_name, zeros_name}) tensors_->erase(part);
  return add(name, shape, std::move(published));
}

Result<PublishedForm> WeightJoiner::form_of(const std::string& name, const TensorInfo& codes, const TensorInfo& scales,
                                            const StoredTensor* zeros) const {
  const bool has_zeros = zeros != nullptr;
  if (has_zeros != (variant_->matmul == WeightEncoding::kInt4Group32Zero)) {
    return refuse(has_zeros ? zeros->info : codes,
                  fmt::format("{} zero points in {}", has_zeros ? "no" : "codes beside", variant_->name));
  }
  const auto encoding = encoding_of_types(*variant_, codes.dtype_name, scales.dtype_name, has_zeros);
  const std::size_t rank = codes.shape.rank();
  if (!encoding || rank < 2 || rank > 3) {
    return refuse(
        codes,
        has_zeros
            ? "codes U8 of a matrix with zero points, with scales F16"
            : "codes U8, I8 or F8_E4M3 of a matrix, with scales F16, F32, U8 or F8_E4M3, as the variant has them");
  }
  const bool is_transposed = name.ends_with(kTransposedEnding);
  if (is_transposed && rank != 3) return refuse(codes, "codes of several matrices where they are transposed");
  // Any other extent is bounded by the size of the file.
  if (*codes.shape.n_elements() == 0) return refuse(codes, "codes of a matrix with rows and columns");
  if (*encoding == WeightEncoding::kFp8Group128 && rank != 2) return refuse(codes, "codes of a matrix, in blocks");
  if (has_global_scale(*encoding) && rank != 2) return refuse(codes, "codes of a matrix with its global scale");
  return PublishedForm{*encoding, group_of(*variant_, *encoding), is_transposed};
}

Result<Shape> WeightJoiner::shape_of(const PublishedForm& form, const TensorInfo& codes, const TensorInfo& scales,
                                     const StoredTensor* zeros) const {
  const std::int64_t n_cols = codes.shape.extent(codes.shape.rank() - 1) * (has_four_bit_codes(form.encoding) ? 2 : 1);
  const Shape shape = shape_of_rows(form, codes.shape.with_last(n_cols));
  if (scales.shape != stored_shape_of_scales(form, shape)) {
    return refuse(scales, fmt::format("scales of {} as {} has them", codes.shape.to_string(), variant_->name));
  }
  if (zeros != nullptr && (zeros->info.dtype_name != "I8" || zeros->info.shape != scales.shape)) {
    return refuse(zeros->info, fmt::format("zero points I8 {}", scales.shape.to_string()));
  }
  if (!checked_multiply<std::int64_t>(*codes.shape.n_elements(), 8)) return refuse(codes, "a size that fits");
  return shape;
}

Result<std::vector<std::int32_t>> WeightJoiner::take_columns(const std::string& name, const PublishedForm& form,
                                                             const Shape& shape) {
  const auto stored = tensors_->find(name + std::string(kColumnsEnding));
  if (stored == tensors_->end()) return std::vector<std::int32_t>{};
  const TensorInfo& info = stored->second.info;
  const bool has_groups = form.encoding == WeightEncoding::kInt8Group32 || has_int4_codes(form.encoding);
  if (!has_groups || form.group == 0 || shape.rank() != 2) {
    return refuse(info, "an order of columns only beside codes of a matrix with scales of groups");
  }
  const std::int64_t n_cols = shape.extent(1);
  if (info.dtype_name != "I32" || info.shape != Shape{n_cols}) {
    return refuse(info, fmt::format("an order of columns I32 [{}]", n_cols));
  }
  SS_TRY(auto columns, read_columns(stored->second, n_cols));
  tensors_->erase(stored);
  if (std::ranges::is_sorted(columns)) columns.clear();
  return columns;
}

Result<std::vector<std::int32_t>> WeightJoiner::read_columns(const StoredTensor& stored, std::int64_t n_cols) const {
  std::vector<std::int32_t> columns(static_cast<std::size_t>(n_cols));
  SS_TRY_VOID(stored.file->read_at(stored.info.offset_bytes, std::as_writable_bytes(std::span(columns))));
  std::vector<bool> is_there(columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::int32_t column = columns[i];
    if (column < 0 || column >= n_cols || is_there[static_cast<std::size_t>(column)]) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: tensor {}: [{}]: expected every column from 0 to {} once, found {}", file_,
                               printable(stored.info.name), i, n_cols - 1, column)};
    }
    is_there[static_cast<std::size_t>(column)] = true;
  }
  return columns;
}

Result<float> WeightJoiner::take_scale(const std::string& tensor, const TensorInfo& codes, std::string_view what) {
  const auto stored = tensors_->find(tensor);
  if (stored == tensors_->end()) return refuse(codes, fmt::format("{} beside codes in {}", what, variant_->name));
  const TensorInfo& info = stored->second.info;
  if (info.dtype_name != "F32" || info.shape != Shape{1}) return refuse(info, "a scale F32 [1]");
  float scale = 0.0F;
  SS_TRY_VOID(stored->second.file->read_at(info.offset_bytes, std::as_writable_bytes(std::span(&scale, 1))));
  if (!(scale > 0.0F) || !std::isfinite(scale)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: tensor {}: expected a positive scale, found {}", file_, printable(info.name), scale)};
  }
  tensors_->erase(stored);
  return scale;
}

Result<void> WeightJoiner::add(std::string_view name, const Shape& shape, PublishedWeight published) {
  const std::string tensor(name.substr(0, name.size() - (published.form.is_transposed ? kTransposedEnding.size() : 0)));
  const std::string_view parts = has_blocks(published.form.encoding) ? "blocks" : "codes";
  StoredTensor joined{.info = {.name = tensor, .dtype_name = "F32", .dtype = DType::kF32, .shape = shape},
                      .file = published.codes.file};
  joined.published = std::make_shared<const PublishedWeight>(std::move(published));
  if (tensors_->try_emplace(tensor, std::move(joined)).second) return {};
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected it once, found its values and its {}",
                                                     file_, printable(tensor), parts)};
}

Result<void> WeightJoiner::check_that_no_part_is_left() const {
  for (const auto& [tensor, stored] : *tensors_) {
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

}  // namespace

Result<void> join_published_weights(std::string_view variant, StoredTensors& tensors, std::string_view file) {
  const Result<Variant> known = variant_from_name(variant);
  if (!known) return known.error().with_context(fmt::format("{}: {}", file, kPublishedKey));
  if (!is_published_variant(variant)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}: expected the name of a published variant, found {}",
                                                       file, kPublishedKey, in_quotes(variant))};
  }
  WeightJoiner joiner(*known, tensors, file);
  for (const WeightEncoding encoding : kBlockEncodings) {
    SS_TRY_VOID(joiner.join_blocks(encoding));
  }
  SS_TRY_VOID(joiner.join_codes());
  return joiner.check_that_no_part_is_left();
}

}  // namespace secondsource
