#pragma once
// The values of a GGUF tensor, from the block layouts that ggml publishes (ggml-common.h, ggml-quants.c). A block is a few
// scales and small integers; each value is computed in FP32 with one rounding after every product and sum, as ggml's own
// dequantize_row_* and the Python package `gguf` do, so that all three give the same bits.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "backend/weights.h"
#include "core/result.h"

namespace secondsource {

/// One type of tensor that can be read.
struct GgufBlockFormat {
  std::string_view name;  ///< as GgufTensor::type_name
  std::size_t block_values = 1;
  std::size_t block_bytes = 1;
  /// Writes the block_values values of the block_bytes bytes of one block.
  void (*dequantize)(const std::byte* block, float* values) = nullptr;
};

/// Writes the codes and scales of a block of Q4_0, Q8_0, MXFP4 or NVFP4, whose values are the codes times the scale of their group of
/// group_columns() codes. The codes of the last two are E2M1 numbers (core/e2m1.h). A scale is an FP16 number, for MXFP4 a power of two
/// and for NVFP4 an E4M3 number; NaN where the stored bits stand for none. codes: block_values, scales: one for each group.
void codes_of_gguf_block(const GgufBlockFormat& format, const std::byte* block, std::span<std::int8_t> codes,
                         std::span<float> scales);
/// Writes the codes of a block of an encoding in kBlockEncodings, one int8 each, and its scales and minima as WeightEncoding passes them.
/// block: BlockForm::n_bytes, codes: n_cols, floats: n_floats() elements.
void parts_of_block(WeightEncoding encoding, const std::byte* block, std::span<std::byte> codes,
                    std::span<float> floats);
/// The encoding of the codes of Q4_0, Q8_0, MXFP4 and NVFP4, and of the blocks of every other block type; nullopt for types
/// that store plain values.
[[nodiscard]] std::optional<WeightEncoding> encoding_of_codes(const GgufBlockFormat& format);

/// All types that can be read.
[[nodiscard]] std::span<const GgufBlockFormat> gguf_block_formats();

/// The format of that name. Errors: kUnsupported, listing the names that there are.
Result<const GgufBlockFormat*> gguf_block_format(std::string_view type_name);

/// Writes the values of whole blocks: `blocks` has block_bytes and `values` block_values for each of them.
void dequantize_blocks(const GgufBlockFormat& format, std::span<const std::byte> blocks, std::span<float> values);

}  // namespace secondsource
