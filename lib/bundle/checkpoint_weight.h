#pragma once
// The values of a weight as a published checkpoint stores it: as numbers, or as codes with scales and zero points.
//
// A value is (code - zero point) * scale in FP32. The product is exact for MXFP4, and for codes in words with scales in
// FP16 or BF16. For FP8 codes and for scales in FP32 it is rounded once, as in every runtime that multiplies before it
// adds. A scale of NVFP4 is itself a rounded product or quotient.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "bundle/checkpoint_scheme.h"
#include "bundle/model_tensors.h"
#include "bundle/published_weights.h"
#include "bundle/tensor_store.h"
#include "core/e2m1.h"
#include "core/result.h"

namespace secondsource {

/// Room for one row of a published weight.
struct CodedRow {
  std::span<std::int8_t> codes;  ///< one for each column
  std::span<float> scales;       ///< stored_scales_per_row()
  std::span<std::int8_t> zeros;  ///< as many, or empty in a form without zero points
};

class CheckpointWeight {
 public:
  /// Finds the tensors of `spec` in `tensors`, which must outlive the result, and checks their types and shapes, that scales
  /// of FP8 are finite and not negative, and that every group of an input exists. `name` is that of the folder. Errors:
  /// kInvalidInput, kUnsupported.
  static Result<CheckpointWeight> find(const TensorStore& tensors, const CheckpointScheme& scheme,
                                       const TensorSpec& spec, std::string_view name);

  [[nodiscard]] bool is_quantized() const { return scales_ != nullptr; }
  /// The type in which the values of the weight are stored if its codes are not kept: the stored type of an unquantized
  /// weight. The values of codes are exact in BF16 if all scales are powers of two; otherwise they are assumed to need
  /// F32.
  [[nodiscard]] DType type_of_values() const;
  /// "BF16", "F8_E4M3", "I32": how the tensor of numbers or codes is stored.
  [[nodiscard]] std::string_view stored_type() const { return codes_->info.dtype_name; }

  /// Writes the values of one row, as many as the tensor's innermost extent.
  void read_row(std::int64_t row, std::span<float> values) const;

  /// The form in which the codes and scales of a quantized weight can be kept unchanged (published_weights.h). If there
  /// is none: kUnsupported with the reason as a phrase, such as "codes of 2 bits".
  [[nodiscard]] Result<PublishedForm> published_form() const;
  /// With act order, the inputs sorted by group, in ascending order within a group: code i of read_coded_row() belongs
  /// to input column_order()[i]. Empty if the groups are consecutive.
  [[nodiscard]] const std::vector<std::int32_t>& column_order() const { return column_order_; }
  /// The scale of inputs that is stored beside the weight, if the scheme promises_input_scales(); nullopt unless it is
  /// one positive number. If the stored number is a divisor, its reciprocal.
  [[nodiscard]] std::optional<float> input_scale() const { return input_scale_; }
  /// The factor for sums of products with NVFP4 codes and scales; 1 for other formats. If the stored number is a
  /// divisor, its rounded reciprocal, as in runtimes.
  [[nodiscard]] float global_scale() const {
    return scheme_.global_scale == GlobalScale::kDivides ? 1.0F / global_scale_ : global_scale_;
  }
  /// Writes the codes of one row of shape_of_rows(), its scales and, if the form has any, its zero points. `form` is
  /// published_form(), which must not be an error, or the same form with zero points.
  /// Errors: kInvalidInput for a code or a zero point that does not fit into the four bits of the form, if the file
  /// stores bytes.
  Result<void> read_coded_row(std::int64_t row, const PublishedForm& form, const CodedRow& to) const;

 private:
  struct Finder;

  [[nodiscard]] std::int64_t place_of_scale(std::int64_t row, std::int64_t group) const;
  /// The input to which stored code i belongs.
  [[nodiscard]] std::int64_t stored_column(std::int64_t i) const {
    return column_order_.empty() ? i : column_order_[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] std::int32_t zero_point(std::int64_t row, std::int64_t group) const;
  [[nodiscard]] std::int32_t signed_code(std::int64_t row, std::int64_t col) const;
  [[nodiscard]] std::int32_t signed_zero_point(std::int64_t row, std::int64_t group) const;
  [[nodiscard]] bool has_zero_points_beside_middle() const;
  [[nodiscard]] bool has_scales_in_f16() const;
  void read_codes(std::int64_t row, std::span<float> values) const;
  [[nodiscard]] bool is_e2m1() const {
    return scheme_.layout == CodeLayout::kMxfp4 || scheme_.layout == CodeLayout::kFp4Rows;
  }
  void read_mxfp4_row(std::int64_t row, std::span<float> values) const;
  void read_fp4_row(std::int64_t row, std::span<float> values) const;
  /// The scale of a group, without the global scale.
  [[nodiscard]] float fp4_scale(std::int64_t place) const;
  /// The scale of a group, including the global scale.
  [[nodiscard]] float whole_fp4_scale(std::int64_t place) const;
  /// The code with this index among all codes; a byte holds two.
  [[nodiscard]] E2m1 fp4_code(std::int64_t place) const;
  /// The code of one of the 32 inputs of a block. Each output of each expert has its own blocks.
  [[nodiscard]] E2m1 mxfp4_code(std::int64_t block, std::int64_t input) const;
  void read_coded_fp4_row(std::int64_t row, const CodedRow& to) const;

  CheckpointScheme scheme_;
  const StoredTensor* codes_ = nullptr;        ///< or the numbers of a tensor that is not quantized
  const StoredTensor* scales_ = nullptr;       ///< null for a tensor that is not quantized
  const StoredTensor* zero_points_ = nullptr;  ///< null where they are zero
  bool has_zero_bytes_ = false;                ///< zero points are bytes, and not codes in words
  std::int64_t n_rows_ = 0;
  std::int64_t n_cols_ = 0;
  std::int64_t rows_of_scale_ = 1;  ///< that share one; n_rows_ where all do
  std::int64_t n_groups_ = 1;       ///< scales of a row
  /// For kMxfp4 the inputs of one expert, whose rows are those of a transposed tensor; for kFp4Rows it equals n_cols_.
  std::int64_t n_inputs_ = 0;
  float global_scale_ = 1.0F;  ///< as it is stored
  std::optional<float> input_scale_;
  std::vector<std::int32_t> group_of_input_;
  std::vector<std::int32_t> column_order_;
};

}  // namespace secondsource
