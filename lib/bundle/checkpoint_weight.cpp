#include "bundle/checkpoint_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

#include "bundle/checkpoint_form.h"
#include "core/check.h"
#include "core/checked.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/half.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::string_view kFp8Type = "F8_E4M3";
constexpr std::string_view kByteType = "I8";
constexpr std::string_view kWordType = "I32";
constexpr std::string_view kUnsignedByteType = "U8";
constexpr std::string_view kExponentType = "F8_E8M0";
/// Inputs that share a scale in MXFP4, and the bytes of their codes.
constexpr std::int64_t kMxfp4Inputs = kScaleGroupSize;
constexpr std::int64_t kMxfp4Bytes = kMxfp4Inputs / 2;

template <typename T>
T element_at(const StoredTensor& tensor, std::int64_t index) {
  static_assert(std::endian::native == std::endian::little);
  T value;
  std::memcpy(&value, tensor.bytes().data() + static_cast<std::size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

float number_at(const StoredTensor& tensor, std::int64_t index) {
  switch (*tensor.info.dtype) {
    case DType::kBf16:
      return to_float(Bf16{element_at<std::uint16_t>(tensor, index)});
    case DType::kF16:
      return to_float(F16{element_at<std::uint16_t>(tensor, index)});
    default:
      return element_at<float>(tensor, index);
  }
}

float scale_at(const StoredTensor& scales, std::int64_t index) {
  return scales.info.dtype_name == kExponentType ? to_float(element_at<E8m0>(scales, index)) : number_at(scales, index);
}

bool has_numbers(const StoredTensor& tensor) {
  if (tensor.published) return false;  // its values are codes, and it has no bytes of its own
  const auto dtype = tensor.info.dtype;
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16;
}

/// The code at place `place` of a word whose codes have `bits` bits.
std::int32_t code_of_word(std::uint32_t word, std::int64_t place, int bits) {
  return static_cast<std::int32_t>(word >> (place * bits) & ((1U << bits) - 1U));
}

/// Where AutoAWQ puts output `column` of each eight in their word.
std::int64_t awq_place(std::int64_t column) {
  constexpr std::array<std::int64_t, 8> kPlaces = {0, 4, 1, 5, 2, 6, 3, 7};
  return kPlaces[static_cast<std::size_t>(column % 8)];
}

}  // namespace

/// Finds the tensors of one weight, and makes the errors for those that are missing or wrong.
struct CheckpointWeight::Finder {
  const TensorStore& tensors;
  const CheckpointScheme& scheme;
  const TensorSpec& spec;
  std::string_view name;

  [[nodiscard]] std::string name_of(std::string_view ending) const {
    constexpr std::string_view kWeight = "weight";
    std::string_view module = spec.name;
    if (module.ends_with(kWeight)) module.remove_suffix(kWeight.size());
    return fmt::format("{}{}", module, ending);
  }
  [[nodiscard]] const StoredTensor* optional(std::string_view ending) const { return tensors.find(name_of(ending)); }

  /// The tensor of that type and shape; an empty type means F32, F16 or BF16.
  Result<const StoredTensor*> expect(std::string_view ending, std::string_view type, const Shape& shape) const {
    SS_TRY(const StoredTensor* found, expect_shape(ending, shape));
    SS_TRY_VOID(expect_type(*found, type));
    return found;
  }
  Result<const StoredTensor*> expect_shape(std::string_view ending, const Shape& shape) const {
    const StoredTensor* found = optional(ending);
    if (found != nullptr && found->info.shape == shape) return found;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: tensor {}: expected {}, found {}", name, name_of(ending), shape.to_string(),
                             found == nullptr ? "no such tensor" : found->info.shape.to_string())};
  }
  Result<void> expect_type(const StoredTensor& tensor, std::string_view type) const {
    if (type.empty() ? has_numbers(tensor) : tensor.info.dtype_name == type) return {};
    return refused_type(tensor, type.empty() ? "F32, F16 or BF16" : type);
  }
  Result<void> expect_scales_type(const StoredTensor& scales) const {
    if (has_numbers(scales) || scales.info.dtype_name == kExponentType) return {};
    return refused_type(scales, "F32, F16, BF16 or F8_E8M0");
  }
  [[nodiscard]] Error refused_type(const StoredTensor& tensor, std::string_view expected) const {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{}: tensor {}: expected {}, found {}", name, printable(tensor.info.name), expected,
                             printable(tensor.info.dtype_name))};
  }

  [[nodiscard]] std::string_view ending_of_codes() const {
    switch (scheme.layout) {
      case CodeLayout::kInputWords:
        return "weight_packed";
      case CodeLayout::kGptqWords:
      case CodeLayout::kAwqWords:
        return "qweight";
      case CodeLayout::kMxfp4:
        return "_blocks";
      case CodeLayout::kFp4Rows:
        if (optional("weight_packed") != nullptr) return "weight_packed";
        break;
      case CodeLayout::kFp8:
      case CodeLayout::kInt8:
        break;
    }
    return "weight";
  }
  /// Whether the checkpoint has codes for this tensor; it may leave any tensor unquantized.
  [[nodiscard]] bool has_codes() const {
    if (scheme.layout == CodeLayout::kMxfp4) return spec.is_transposed && optional("_blocks") != nullptr;
    if (!spec.name.ends_with("weight") || spec.shape.rank() != 2) return false;
    const StoredTensor* codes = optional(ending_of_codes());
    return codes != nullptr && !has_numbers(*codes);
  }

  /// compressed-tensors stores a model that is not yet compressed as values beside the scales with which its runtime
  /// quantizes them at each product. The values alone would be another model.
  Result<void> refuse_values_with_scales() const {
    const bool has_scales = spec.name.ends_with("weight") && optional("weight_scale") != nullptr;
    const StoredTensor* const values = tensors.find(spec.name);
    if (!has_scales || values == nullptr) return {};
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{}: tensor {}: expected codes beside {}, found values in {}; store the model compressed",
                             name, spec.name, name_of("weight_scale"), printable(values->info.dtype_name))};
  }

  Result<CheckpointWeight> plain() const {
    SS_TRY_VOID(refuse_values_with_scales());
    CheckpointWeight weight;
    const StoredTensor* found = tensors.find(spec.name);
    if (found == nullptr || found->info.shape != spec.shape) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: tensor {}: expected {}, found {}", name, spec.name, spec.shape.to_string(),
                               found == nullptr ? "no such tensor" : found->info.shape.to_string())};
    }
    SS_TRY_VOID(expect_type(*found, ""));
    weight.codes_ = found;
    weight.n_rows_ = n_rows_of(spec.shape);
    weight.n_cols_ = spec.shape.extent(spec.shape.rank() - 1);
    return weight;
  }

  /// The tensor of codes of a matrix with that many rows and columns.
  Result<const StoredTensor*> codes(std::int64_t n_rows, std::int64_t n_cols) const {
    const std::int64_t n_codes = scheme.codes_of_word();
    const std::string_view ending = ending_of_codes();
    switch (scheme.layout) {
      case CodeLayout::kFp8:
        return expect(ending, kFp8Type, {n_rows, n_cols});
      case CodeLayout::kInt8:
        return expect(ending, kByteType, {n_rows, n_cols});
      case CodeLayout::kInputWords:
        return expect(ending, kWordType, {n_rows, ceil_divide(n_cols, n_codes)});
      case CodeLayout::kGptqWords:
        return expect(ending, kWordType, {n_cols / n_codes, n_rows});
      case CodeLayout::kMxfp4:    // see mxfp4()
      case CodeLayout::kFp4Rows:  // see fp4_rows()
      case CodeLayout::kAwqWords:
        break;
    }
    return expect(ending, kWordType, {n_cols, n_rows / n_codes});
  }

  /// The experts of a layer; the model has them as [experts, inputs, outputs].
  Result<CheckpointWeight> mxfp4() const {
    const std::int64_t n_experts = spec.shape.extent(0);
    const std::int64_t n_inputs = spec.shape.extent(1);
    const std::int64_t n_outputs = spec.shape.extent(2);
    if (n_inputs % kMxfp4Inputs != 0) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected inputs in multiples of {}, found {}",
                                                         name, spec.name, kMxfp4Inputs, spec.shape.to_string())};
    }
    const std::int64_t n_blocks = n_inputs / kMxfp4Inputs;
    CheckpointWeight weight;
    weight.scheme_ = scheme;
    weight.n_rows_ = n_experts * n_inputs;
    weight.n_cols_ = n_outputs;
    weight.n_inputs_ = n_inputs;
    SS_TRY(weight.codes_, expect("_blocks", kUnsignedByteType, {n_experts, n_outputs, n_blocks, kMxfp4Bytes}));
    SS_TRY(weight.scales_, expect("_scales", kUnsignedByteType, {n_experts, n_outputs, n_blocks}));
    return weight;
  }
  /// A matrix whose bytes hold two E2M1 codes each.
  Result<CheckpointWeight> fp4_rows() const {
    const std::int64_t n_rows = spec.shape.extent(0);
    const std::int64_t n_cols = spec.shape.extent(1);
    const std::int64_t group = scheme.block->cols;
    if (n_cols % group != 0) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected inputs in multiples of {}, found {}",
                                                         name, spec.name, group, spec.shape.to_string())};
    }
    CheckpointWeight weight;
    weight.scheme_ = scheme;
    weight.n_rows_ = n_rows;
    weight.n_cols_ = n_cols;
    weight.n_inputs_ = n_cols;
    weight.n_groups_ = n_cols / group;
    SS_TRY(weight.codes_, expect(ending_of_codes(), kUnsignedByteType, {n_rows, n_cols / 2}));
    const bool is_nvfp4 = scheme.global_scale != GlobalScale::kNone;
    SS_TRY(weight.scales_, expect("weight_scale", is_nvfp4 ? kFp8Type : kUnsignedByteType, {n_rows, weight.n_groups_}));
    if (is_nvfp4) {
      SS_TRY(weight.global_scale_, global_scale());
    }
    weight.input_scale_ = input_scale();
    return weight;
  }
  /// The global scale of NVFP4 as it is stored.
  Result<float> global_scale() const {
    const std::string_view ending = secondsource::name_of(scheme.global_scale);
    const StoredTensor* const found = optional(ending);
    if (found == nullptr || found->info.shape.n_elements() != 1 || found->info.dtype != DType::kF32) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: tensor {}: expected one number in F32, found {}", name, name_of(ending),
                               found == nullptr ? "no such tensor" : found->info.shape.to_string())};
    }
    const auto stored = element_at<float>(*found, 0);
    // If the stored number is a divisor, the scale is its reciprocal, so neither may be 0 or infinite.
    if (stored > 0.0F && std::isfinite(stored) && std::isfinite(1.0F / stored)) return stored;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: tensor {}: expected a positive number, found {}", name, name_of(ending), stored)};
  }
  /// In GPTQ and AWQ, words must not span two rows or columns: shapes must be multiples of the codes in a word.
  Result<void> expect_whole_words() const {
    const std::int64_t n_codes = scheme.codes_of_word();
    const bool has_output_words = scheme.layout == CodeLayout::kGptqWords || scheme.layout == CodeLayout::kAwqWords;
    const bool has_input_words = scheme.layout == CodeLayout::kGptqWords;
    if ((!has_output_words || spec.shape.extent(0) % n_codes == 0) &&
        (!has_input_words || spec.shape.extent(1) % n_codes == 0)) {
      return {};
    }
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: tensor {}: expected a shape in multiples of {}, found {}", name,
                             name_of(ending_of_codes()), n_codes, spec.shape.to_string())};
  }

  /// Either name may be that of the scales. If the checkpoint has neither, the name is the one that its format uses.
  [[nodiscard]] std::string_view ending_of_scales_by_row() const {
    constexpr std::string_view kScale = "weight_scale";
    constexpr std::string_view kInverse = "weight_scale_inv";
    if (optional(kInverse) != nullptr) return kInverse;
    if (optional(kScale) != nullptr) return kScale;
    return scheme.method == "fp8-" && scheme.block ? kInverse : kScale;  // DeepSeek's blocks
  }
  /// Scales of FP8 and compressed-tensors: [row blocks, groups], [outputs, 1], [outputs], or one for all; numbers or powers of two in E8M0.
  Result<void> take_scales_by_row(CheckpointWeight& weight) const {
    const std::string_view ending = ending_of_scales_by_row();
    const StoredTensor* scales = optional(ending);
    const auto n_scales = scales == nullptr ? std::nullopt : scales->info.shape.n_elements();
    if (!scheme.block && n_scales == 1) {
      SS_TRY_VOID(expect_scales_type(*scales));
      weight.rows_of_scale_ = weight.n_rows_;
      weight.scales_ = scales;
      return {};
    }
    const ScaleBlock block = scheme.block.value_or(ScaleBlock());
    const std::int64_t cols = block.cols == 0 ? weight.n_cols_ : block.cols;
    weight.rows_of_scale_ = block.rows;
    weight.n_groups_ = ceil_divide(weight.n_cols_, cols);
    Shape shape = {ceil_divide(weight.n_rows_, block.rows), weight.n_groups_};
    const bool is_vector = scales != nullptr && scales->info.shape.rank() == 1 && weight.n_groups_ == 1;
    if (is_vector) shape = {ceil_divide(weight.n_rows_, block.rows)};
    SS_TRY(weight.scales_, expect_shape(ending, shape));
    return expect_scales_type(*weight.scales_);
  }
  /// Codes in FP8 have signs, so quantizers write no negative scale beside them. Runtimes read a scale of 0 as weights of 0.
  Result<void> check_fp8_scales(const CheckpointWeight& weight) const {
    if (scheme.layout != CodeLayout::kFp8) return {};
    const Shape& shape = weight.scales_->info.shape;
    for (std::int64_t i = 0; i < shape.n_elements().value_or(0); ++i) {
      const float scale = scale_at(*weight.scales_, i);
      if (scale >= 0.0F && std::isfinite(scale)) continue;
      const std::string place = shape.rank() == 2 ? fmt::format("[{}, {}]: ", i / shape.extent(1), i % shape.extent(1))
                                : shape.rank() == 1 ? fmt::format("[{}]: ", i)
                                                    : "";
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: tensor {}: {}expected a finite scale of at least 0, found {}", name,
                               printable(weight.scales_->info.name), place, scale)};
    }
    return {};
  }
  /// Scales of GPTQ and AWQ: [groups, outputs].
  Result<void> take_scales_by_group(CheckpointWeight& weight) const {
    const std::int64_t cols = scheme.block->cols == 0 ? weight.n_cols_ : scheme.block->cols;
    weight.n_groups_ = ceil_divide(weight.n_cols_, cols);
    SS_TRY(weight.scales_, expect("scales", "", {weight.n_groups_, weight.n_rows_}));
    return {};
  }

  [[nodiscard]] std::optional<float> input_scale() const {
    const bool divides = scheme.global_scale == GlobalScale::kDivides;
    const StoredTensor* const found = optional(divides ? "input_global_scale" : "input_scale");
    if (!promises_input_scales(scheme.activations) || found == nullptr) return std::nullopt;
    if (found->info.shape.n_elements() != 1 || !has_numbers(*found)) return std::nullopt;
    const float scale = divides ? 1.0F / number_at(*found, 0) : number_at(*found, 0);
    return scale > 0.0F && std::isfinite(scale) ? std::optional(scale) : std::nullopt;
  }

  Result<void> take_zero_points(CheckpointWeight& weight) const {
    if (!scheme.has_zero_points) return {};
    const std::int64_t n_codes = scheme.codes_of_word();
    // Beside one scale for all, compressed-tensors leaves the zero point as a byte; it packs those of rows and groups into words.
    weight.has_zero_bytes_ =
        scheme.layout == CodeLayout::kInt8 || (scheme.layout == CodeLayout::kInputWords &&
                                               weight.scales_->info.shape.n_elements() == 1 && weight.n_rows_ > 1);
    if (weight.has_zero_bytes_) {
      SS_TRY(weight.zero_points_, expect("weight_zero_point", kByteType, weight.scales_->info.shape));
    } else if (scheme.layout == CodeLayout::kInputWords) {
      SS_TRY(weight.zero_points_,
             expect("weight_zero_point", kWordType, {ceil_divide(weight.n_rows_, n_codes), weight.n_groups_}));
    } else {
      SS_TRY(weight.zero_points_, expect("qzeros", kWordType, {weight.n_groups_, weight.n_rows_ / n_codes}));
    }
    return {};
  }

  /// AutoGPTQ's first format stores each zero point minus one. The largest stored code would then mean a zero point
  /// that does not fit into its bits, and runtimes disagree on what it means.
  Result<void> check_zero_points(const CheckpointWeight& weight) const {
    if (!scheme.stores_zero_points_less_one) return {};
    const std::int32_t limit = 1 << scheme.bits;
    for (std::int64_t group = 0; group < weight.n_groups_; ++group) {
      for (std::int64_t row = 0; row < weight.n_rows_; ++row) {
        if (weight.zero_point(row, group) < limit) continue;
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("{}: tensor {}: group {}, output {}: expected a zero point below {}, found {}, which "
                                 "runtimes of GPTQ read in different ways",
                                 name, name_of("qzeros"), group, row, limit - 1, limit - 1)};
      }
    }
    return {};
  }

  Result<void> take_groups(CheckpointWeight& weight) const {
    const bool is_compressed_tensors = scheme.layout == CodeLayout::kInputWords || scheme.layout == CodeLayout::kInt8;
    const std::string_view ending = is_compressed_tensors ? "weight_g_idx" : "g_idx";
    const bool may_be_there = is_compressed_tensors || scheme.layout == CodeLayout::kGptqWords;
    const bool is_there = may_be_there && optional(ending) != nullptr;
    weight.group_of_input_.resize(static_cast<std::size_t>(weight.n_cols_));
    if (!is_there && !scheme.has_input_groups) {
      const std::int64_t cols = scheme.block && scheme.block->cols > 0 ? scheme.block->cols : weight.n_cols_;
      for (std::int64_t col = 0; col < weight.n_cols_; ++col) {
        weight.group_of_input_[static_cast<std::size_t>(col)] = static_cast<std::int32_t>(col / cols);
      }
      return {};
    }
    SS_TRY(const StoredTensor* groups, expect(ending, kWordType, {weight.n_cols_}));
    for (std::int64_t col = 0; col < weight.n_cols_; ++col) {
      const auto group = element_at<std::int32_t>(*groups, col);
      if (group < 0 || group >= weight.n_groups_) {
        return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: [{}]: expected a group below {}, found {}",
                                                           name, name_of(ending), col, weight.n_groups_, group)};
      }
      weight.group_of_input_[static_cast<std::size_t>(col)] = group;
    }
    if (std::ranges::is_sorted(weight.group_of_input_)) return {};
    weight.column_order_.resize(weight.group_of_input_.size());
    std::iota(weight.column_order_.begin(), weight.column_order_.end(), 0);
    std::ranges::stable_sort(weight.column_order_, {},
                             [&](std::int32_t col) { return weight.group_of_input_[static_cast<std::size_t>(col)]; });
    return {};
  }
};

Result<CheckpointWeight> CheckpointWeight::find(const TensorStore& tensors, const CheckpointScheme& scheme,
                                                const TensorSpec& spec, std::string_view name) {
  const Finder finder{tensors, scheme, spec, name};
  if (!finder.has_codes()) return finder.plain();
  if (scheme.layout == CodeLayout::kMxfp4) return finder.mxfp4();
  if (scheme.layout == CodeLayout::kFp4Rows) return finder.fp4_rows();
  CheckpointWeight weight;
  weight.scheme_ = scheme;
  weight.n_rows_ = spec.shape.extent(0);
  weight.n_cols_ = spec.shape.extent(1);
  SS_TRY_VOID(finder.expect_whole_words());
  SS_TRY(weight.codes_, finder.codes(weight.n_rows_, weight.n_cols_));
  const bool is_by_group = scheme.layout == CodeLayout::kGptqWords || scheme.layout == CodeLayout::kAwqWords;
  SS_TRY_VOID(is_by_group ? finder.take_scales_by_group(weight) : finder.take_scales_by_row(weight));
  SS_TRY_VOID(finder.check_fp8_scales(weight));
  SS_TRY_VOID(finder.take_zero_points(weight));
  SS_TRY_VOID(finder.check_zero_points(weight));
  SS_TRY_VOID(finder.take_groups(weight));
  weight.input_scale_ = finder.input_scale();
  return weight;
}

std::int64_t CheckpointWeight::place_of_scale(std::int64_t row, std::int64_t group) const {
  const bool is_by_group = scheme_.layout == CodeLayout::kGptqWords || scheme_.layout == CodeLayout::kAwqWords;
  return is_by_group ? group * n_rows_ + row : row / rows_of_scale_ * n_groups_ + group;
}

std::int32_t CheckpointWeight::zero_point(std::int64_t row, std::int64_t group) const {
  if (zero_points_ == nullptr) return 0;
  const std::int64_t n_codes = scheme_.codes_of_word();
  if (has_zero_bytes_) return element_at<std::int8_t>(*zero_points_, place_of_scale(row, group));
  switch (scheme_.layout) {
    case CodeLayout::kInputWords: {
      const auto word = element_at<std::uint32_t>(*zero_points_, row / n_codes * n_groups_ + group);
      return code_of_word(word, row % n_codes, scheme_.bits) - (1 << (scheme_.bits - 1));
    }
    case CodeLayout::kGptqWords: {
      const auto word = element_at<std::uint32_t>(*zero_points_, (group * n_rows_ + row) / n_codes);
      return code_of_word(word, row % n_codes, scheme_.bits) + (scheme_.stores_zero_points_less_one ? 1 : 0);
    }
    case CodeLayout::kAwqWords: {
      const auto word = element_at<std::uint32_t>(*zero_points_, (group * n_rows_ + row) / n_codes);
      return code_of_word(word, awq_place(row), scheme_.bits);
    }
    case CodeLayout::kInt8:
    case CodeLayout::kFp8:
    case CodeLayout::kMxfp4:
    case CodeLayout::kFp4Rows:
      break;
  }
  return 0;
}

void CheckpointWeight::read_mxfp4_row(std::int64_t row, std::span<float> values) const {
  const std::int64_t n_blocks = n_inputs_ / kMxfp4Inputs;
  const std::int64_t input = row % n_inputs_;
  for (std::int64_t output = 0; output < n_cols_; ++output) {
    const std::int64_t block = (row / n_inputs_ * n_cols_ + output) * n_blocks + input / kMxfp4Inputs;
    const float scale = to_float(element_at<E8m0>(*scales_, block));
    values[static_cast<std::size_t>(output)] = to_float(mxfp4_code(block, input % kMxfp4Inputs)) * scale;
  }
}

void CheckpointWeight::read_fp4_row(std::int64_t row, std::span<float> values) const {
  for (std::int64_t group = 0; group < n_groups_; ++group) {
    const float scale = whole_fp4_scale(row * n_groups_ + group);
    const std::int64_t n_of_group = n_cols_ / n_groups_;
    for (std::int64_t col = group * n_of_group; col < (group + 1) * n_of_group; ++col) {
      values[static_cast<std::size_t>(col)] = to_float(fp4_code(row * n_cols_ + col)) * scale;
    }
  }
}

float CheckpointWeight::fp4_scale(std::int64_t place) const {
  if (scheme_.global_scale == GlobalScale::kNone) return to_float(element_at<E8m0>(*scales_, place));
  return to_float(E4m3{element_at<std::uint8_t>(*scales_, place)});
}

float CheckpointWeight::whole_fp4_scale(std::int64_t place) const {
  const float scale = fp4_scale(place);
  switch (scheme_.global_scale) {
    case GlobalScale::kMultiplies:
      return scale * global_scale_;
    case GlobalScale::kDivides:
      return scale / global_scale_;
    case GlobalScale::kNone:
      break;
  }
  return scale;
}

E2m1 CheckpointWeight::fp4_code(std::int64_t place) const {
  const auto pair = element_at<std::uint8_t>(*codes_, place / 2);
  const int shift = place % 2 == 0 ? 0 : 4;  // the first of two inputs is in the low bits
  return E2m1{static_cast<std::uint8_t>(pair >> shift & 15)};
}

E2m1 CheckpointWeight::mxfp4_code(std::int64_t block, std::int64_t input) const {
  return fp4_code(block * kMxfp4Inputs + input);
}

void CheckpointWeight::read_coded_fp4_row(std::int64_t row, const CodedRow& to) const {
  const std::int64_t group = scheme_.layout == CodeLayout::kFp4Rows ? scheme_.block->cols : kMxfp4Inputs;
  const std::int64_t n_groups = n_inputs_ / group;
  const std::int64_t n_coded_rows = scheme_.layout == CodeLayout::kFp4Rows ? n_rows_ : n_rows_ / n_inputs_ * n_cols_;
  SS_CHECK(row >= 0 && row < n_coded_rows && static_cast<std::int64_t>(to.codes.size()) == n_inputs_ &&
               static_cast<std::int64_t>(to.scales.size()) == n_groups && to.zeros.empty(),
           "an output, and room for its inputs");
  for (std::int64_t input = 0; input < n_inputs_; ++input) {
    to.codes[static_cast<std::size_t>(input)] = static_cast<std::int8_t>(fp4_code(row * n_inputs_ + input).bits);
  }
  for (std::int64_t i = 0; i < n_groups; ++i) to.scales[static_cast<std::size_t>(i)] = fp4_scale(row * n_groups + i);
}

void CheckpointWeight::read_codes(std::int64_t row, std::span<float> values) const {
  const std::int64_t n_codes = scheme_.codes_of_word();
  const int bits = scheme_.bits;
  const std::int32_t middle = 1 << (bits - 1);
  for (std::int64_t col = 0; col < n_cols_; ++col) {
    float& value = values[static_cast<std::size_t>(col)];
    switch (scheme_.layout) {
      case CodeLayout::kFp8:
        value = to_float(E4m3{element_at<std::uint8_t>(*codes_, row * n_cols_ + col)});
        break;
      case CodeLayout::kInt8:
        value = static_cast<float>(element_at<std::int8_t>(*codes_, row * n_cols_ + col));
        break;
      case CodeLayout::kInputWords: {
        const auto word = element_at<std::uint32_t>(*codes_, row * ceil_divide(n_cols_, n_codes) + col / n_codes);
        value = static_cast<float>(code_of_word(word, col % n_codes, bits) - middle);
        break;
      }
      case CodeLayout::kGptqWords: {
        const auto word = element_at<std::uint32_t>(*codes_, col / n_codes * n_rows_ + row);
        value = static_cast<float>(code_of_word(word, col % n_codes, bits));
        break;
      }
      case CodeLayout::kAwqWords: {
        const auto word = element_at<std::uint32_t>(*codes_, (col * n_rows_ + row) / n_codes);
        value = static_cast<float>(code_of_word(word, awq_place(row), bits));
        break;
      }
      case CodeLayout::kMxfp4:
      case CodeLayout::kFp4Rows:
        SS_CHECK(false, "read_mxfp4_row() or read_fp4_row() reads it");
        break;
    }
  }
}

std::int32_t CheckpointWeight::signed_zero_point(std::int64_t row, std::int64_t group) const {
  const bool is_unsigned = scheme_.layout == CodeLayout::kGptqWords || scheme_.layout == CodeLayout::kAwqWords;
  return zero_point(row, group) - (is_unsigned ? 1 << (scheme_.bits - 1) : 0);
}

bool CheckpointWeight::has_zero_points_beside_middle() const {
  if (zero_points_ == nullptr) return false;
  for (std::int64_t row = 0; row < n_rows_; ++row) {
    for (std::int64_t group = 0; group < n_groups_; ++group) {
      if (signed_zero_point(row, group) != 0) return true;
    }
  }
  return false;
}

bool CheckpointWeight::has_scales_in_f16() const {
  for (std::int64_t i = 0; i < scales_->info.shape.n_elements().value_or(0); ++i) {
    const float scale = scale_at(*scales_, i);
    if (round_to_f16(scale) != scale) return false;  // NaN among them
  }
  return true;
}

DType CheckpointWeight::type_of_values() const {
  if (!is_quantized()) return *codes_->info.dtype;
  if (scheme_.layout == CodeLayout::kMxfp4) return DType::kBf16;  // bytes with exponents
  const auto is_power_of_two = [](float scale) {
    int exponent = 0;
    return std::abs(std::frexp(scale, &exponent)) == 0.5F;
  };
  const bool is_fp4 = scheme_.layout == CodeLayout::kFp4Rows;
  for (std::int64_t i = 0; i < scales_->info.shape.n_elements().value_or(0); ++i) {
    if (!is_power_of_two(is_fp4 ? whole_fp4_scale(i) : scale_at(*scales_, i))) return DType::kF32;
  }
  return DType::kBf16;
}

Result<PublishedForm> CheckpointWeight::published_form() const {
  const auto no = [](std::string reason) { return Error{ErrorCode::kUnsupported, std::move(reason)}; };
  const bool has_zero_points = always_has_zero_points(scheme_) || has_zero_points_beside_middle();
  SS_TRY(const PublishedForm form, form_of_scheme(scheme_, has_zero_points));
  if (has_e2m1_codes(form.encoding) || form.rows_of_scale() != 1) return form;
  const std::int64_t cols = form.group > 0 ? form.group : n_cols_;
  for (std::int64_t i = 0; i < n_cols_; ++i) {
    if (group_of_input_[static_cast<std::size_t>(stored_column(i))] != i / cols) {
      return no(fmt::format("groups of other sizes than {} inputs", cols));
    }
  }
  if (has_int4_codes(form.encoding) && n_cols_ % 2 != 0) return no("an odd number of inputs");
  const bool has_f16 = has_int4_codes(form.encoding) || form.encoding == WeightEncoding::kInt8Group32;
  if (has_f16 && !has_scales_in_f16()) return no("scales that FP16 does not hold");
  return form;
}

std::int32_t CheckpointWeight::signed_code(std::int64_t row, std::int64_t col) const {
  const std::int64_t n_codes = scheme_.codes_of_word();
  const std::int32_t middle = 1 << (scheme_.bits - 1);
  switch (scheme_.layout) {
    case CodeLayout::kInputWords: {
      const auto word = element_at<std::uint32_t>(*codes_, row * ceil_divide(n_cols_, n_codes) + col / n_codes);
      return code_of_word(word, col % n_codes, scheme_.bits) - middle;
    }
    case CodeLayout::kGptqWords: {
      const auto word = element_at<std::uint32_t>(*codes_, col / n_codes * n_rows_ + row);
      return code_of_word(word, col % n_codes, scheme_.bits) - middle;
    }
    case CodeLayout::kAwqWords: {
      const auto word = element_at<std::uint32_t>(*codes_, (col * n_rows_ + row) / n_codes);
      return code_of_word(word, awq_place(row), scheme_.bits) - middle;
    }
    default:
      return element_at<std::int8_t>(*codes_, row * n_cols_ + col);
  }
}

Result<void> CheckpointWeight::read_coded_row(std::int64_t row, const PublishedForm& form, const CodedRow& to) const {
  if (is_e2m1()) {
    read_coded_fp4_row(row, to);
    return {};
  }
  SS_CHECK(row >= 0 && row < n_rows_ && static_cast<std::int64_t>(to.codes.size()) == n_cols_ &&
               static_cast<std::int64_t>(to.scales.size()) == stored_scales_per_row(form, n_cols_) &&
               to.zeros.size() == (form.has_zero_points() ? to.scales.size() : 0),
           "a row of the weight, and room for it");
  for (std::int64_t col = 0; col < n_cols_; ++col) {
    to.codes[static_cast<std::size_t>(col)] = static_cast<std::int8_t>(signed_code(row, stored_column(col)));
  }
  for (std::size_t group = 0; group < to.scales.size(); ++group) {
    to.scales[group] = scale_at(*scales_, place_of_scale(row, static_cast<std::int64_t>(group)));
  }
  for (std::size_t group = 0; group < to.zeros.size(); ++group) {
    to.zeros[group] = static_cast<std::int8_t>(signed_zero_point(row, static_cast<std::int64_t>(group)));
  }
  const bool has_bytes = scheme_.layout == CodeLayout::kInt8 || has_zero_bytes_;
  if (!has_int4_codes(form.encoding) || !has_bytes) return {};  // words hold no others
  for (const auto& [tensor, numbers] : {std::pair(codes_, to.codes), std::pair(zero_points_, to.zeros)}) {
    const auto outside = std::ranges::find_if(numbers, [](std::int8_t number) { return number < -8 || number > 7; });
    if (outside == numbers.end()) continue;
    return Error{ErrorCode::kInvalidInput, fmt::format("tensor {}: row {}: expected numbers from -8 to 7, found {}",
                                                       printable(tensor->info.name), row, *outside)};
  }
  return {};
}

void CheckpointWeight::read_row(std::int64_t row, std::span<float> values) const {
  SS_CHECK(row >= 0 && row < n_rows_ && static_cast<std::int64_t>(values.size()) == n_cols_,
           "a row of the weight, and room for it");
  if (!is_quantized()) {
    for (std::int64_t col = 0; col < n_cols_; ++col) {
      values[static_cast<std::size_t>(col)] = number_at(*codes_, row * n_cols_ + col);
    }
    return;
  }
  if (scheme_.layout == CodeLayout::kMxfp4) return read_mxfp4_row(row, values);
  if (scheme_.layout == CodeLayout::kFp4Rows) return read_fp4_row(row, values);
  std::vector<float> scales(static_cast<std::size_t>(n_groups_));
  std::vector<float> zero_points(static_cast<std::size_t>(n_groups_));
  for (std::int64_t group = 0; group < n_groups_; ++group) {
    scales[static_cast<std::size_t>(group)] = scale_at(*scales_, place_of_scale(row, group));
    zero_points[static_cast<std::size_t>(group)] = static_cast<float>(zero_point(row, group));
  }
  read_codes(row, values);
  for (std::size_t col = 0; col < values.size(); ++col) {
    const auto group = static_cast<std::size_t>(group_of_input_[col]);
    values[col] = (values[col] - zero_points[group]) * scales[group];
  }
}

}  // namespace secondsource
