#pragma once
// Weights of a quantized checkpoint as a bundle keeps them: the codes and scales that their publisher stored, in one layout for all
// methods (docs/supported-models.md, "Published variants"). A matrix NAME [rows, cols] is stored as two to four tensors:
//
//   NAME.codes    U8 [rows, cols / 2]: INT4, two's complement, or E2M1, the first of two columns in the low bits;
//                 I8 [rows, cols]: INT8; F8_E4M3 [rows, cols]
//   NAME.scales   FP16 [rows, groups] of consecutive columns, F32 [rows, 1], or F32 [rows / 128, cols / 128] of blocks of FP8;
//                 of E2M1 U8 [rows, groups] of 32 columns in E8M0 (MXFP4), or F8_E4M3 [rows, groups] of 16 columns (NVFP4)
//   NAME.zeros    I8 [rows, groups] in [-8, 7], of INT4 with zero points alone
//   NAME.global_scale  F32 [1], of NVFP4 alone, by which scale * code is multiplied; 1 where the checkpoint has none
//   NAME.input_scale  F32 [1], only in variants of static FP8 and INT8, the scale by which inputs are divided before they are rounded to
//                 E4M3 or to whole numbers, and in those of NVFP4 with quantized activations (ActQuant::kNvfp4Static)
//   NAME.columns  I32 [cols], where the checkpoint has act order: column i of the codes is column columns[i] of NAME, so that the columns
//                 of a group are consecutive; every column once
//
// or one tensor, which has the blocks of a GGUF file unchanged and whose name ends with their encoding (kBlockEncodings):
//
//   NAME.q4_k     U8 [rows, 144 cols / 256], and likewise NAME.q2_k, NAME.q5_0 and so on
//
// A tensor [matrices, inputs, outputs], whose rows here are the inputs of one output, has them as NAME.transposed.codes [matrices,
// outputs, ...] and NAME.transposed.scales, or NAME.transposed.q4_k. Its values are scale * code, scale * (code - zero point), or what
// ggml makes of a block, in FP32. The file's metadata names the variant under kPublishedKey.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/weights.h"
#include "bundle/tensor_store.h"
#include "core/result.h"
#include "core/shape.h"

namespace secondsource {

inline constexpr std::string_view kPublishedKey = "published_variant";
inline constexpr std::string_view kCodesEnding = ".codes";
inline constexpr std::string_view kScalesEnding = ".scales";
inline constexpr std::string_view kZerosEnding = ".zeros";
inline constexpr std::string_view kColumnsEnding = ".columns";
inline constexpr std::string_view kInputScaleEnding = ".input_scale";
inline constexpr std::string_view kGlobalScaleEnding = ".global_scale";
/// Precedes these endings if the rows of codes are columns of the tensor's matrices.
inline constexpr std::string_view kTransposedEnding = ".transposed";

/// The form of a published weight.
struct PublishedForm {
  /// Holds the codes and scales unchanged: kInt4Group32, kInt4Group32Zero, kInt8Group32, kInt8PerRow, kFp8PerRow,
  /// kFp8Group128, kMxfp4Group32 or kNvfp4Group16; or one of kBlockEncodings, whose blocks are stored whole.
  WeightEncoding encoding = WeightEncoding::kInt4Group32;
  /// Consecutive columns that share a stored scale: a multiple of kScaleGroupSize, or 0 if a whole row shares one
  /// scale. It is kFp8GroupSize for FP8 in blocks, kNvfp4GroupSize for NVFP4, and kScaleGroupSize for blocks that are
  /// stored whole.
  std::int64_t group = 0;
  /// The tensor is [matrices, inputs, outputs], and a row of codes has the inputs of one output.
  bool is_transposed = false;

  [[nodiscard]] bool has_zero_points() const { return encoding == WeightEncoding::kInt4Group32Zero; }
  /// Consecutive rows that share a stored scale.
  [[nodiscard]] std::int64_t rows_of_scale() const {
    return encoding == WeightEncoding::kFp8Group128 ? kFp8GroupSize : 1;
  }
  friend bool operator==(const PublishedForm&, const PublishedForm&) = default;
};

/// True if a matrix has a global scale beside the scales of its groups (PublishedWeight::global_scale).
[[nodiscard]] constexpr bool has_global_scale(WeightEncoding encoding) {
  return encoding == WeightEncoding::kNvfp4Group16;
}

/// How a scale is stored. E4M3 and E8M0 are one byte each; like FP16, they are exact in f32.
enum class ScaleType : std::uint8_t { kF32, kF16, kE8m0, kE4m3 };
[[nodiscard]] ScaleType type_of_scales(WeightEncoding encoding);

/// The shape of a tensor as rows of codes: its own shape, or [matrices, outputs, inputs] for a transposed tensor.
/// Applied to that shape, it gives the tensor's shape again.
[[nodiscard]] Shape shape_of_rows(const PublishedForm& form, const Shape& shape);
/// The ending of the name of a tensor with blocks of this encoding, such as ".q4_k"; kCodesEnding for any other
/// encoding.
[[nodiscard]] std::string ending_of_codes(WeightEncoding encoding);
/// The type of codes or blocks as safetensors calls it, and the shapes of codes and scales for a tensor of this shape.
/// Rows of four-bit codes must have an even length. Zero points have the shape of the scales.
[[nodiscard]] std::string_view stored_type_of_codes(WeightEncoding encoding);
[[nodiscard]] Shape stored_shape_of_codes(const PublishedForm& form, const Shape& shape);
[[nodiscard]] Shape stored_shape_of_scales(const PublishedForm& form, const Shape& shape);
/// Scales of a row as they are stored.
[[nodiscard]] std::int64_t stored_scales_per_row(const PublishedForm& form, std::int64_t n_cols);

/// One published weight of an opened file.
struct PublishedWeight {
  PublishedForm form;
  StoredTensor codes;                                ///< or the blocks
  StoredTensor scales;                               ///< of none where blocks are stored whole
  std::optional<StoredTensor> zeros = std::nullopt;  ///< where form.has_zero_points()
  /// Column i of the codes is column columns[i] of the weight; empty where the codes have the weight's own order.
  std::vector<std::int32_t> columns = {};
  float input_scale = 0.0F;   ///< Matmul::act_scale of products with the codes; 0 where there is none
  float global_scale = 0.0F;  ///< of NVFP4; 0 elsewhere

  /// Reads rows [first_row, first_row + n_rows) of shape_of_rows(), which have n_cols columns, as a WeightSource
  /// delivers them in form.encoding, with the columns in the order of the codes. Errors: kIo; kInvalidInput for a scale
  /// that is not finite, a zero point outside [-8, 7], or a code that is NaN.
  Result<void> read_rows(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> out_scales) const;
  /// Writes the values of one row, with its columns in the order of the weight. `row_codes` and `row_scales` are reused from call to
  /// call. Errors as read_rows().
  Result<void> read_values(std::int64_t row, std::span<float> values, std::vector<std::byte>& row_codes,
                           std::vector<float>& row_scales) const;

 private:
  Result<void> read_codes(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows,
                          std::span<std::byte> values) const;
  Result<void> read_scales(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows,
                           std::span<float> out) const;
  Result<void> read_zeros(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows, std::span<float> out) const;
  Result<void> read_blocks(std::int64_t n_cols, std::int64_t first_row, std::int64_t n_rows,
                           std::span<std::byte> values, std::span<float> floats) const;
};

}  // namespace secondsource
