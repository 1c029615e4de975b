#pragma once
// Weights as they cross the boundary: a description, and a source from which the backend pulls rows. The backend copies
// them once into its own layout; nothing here keeps the bytes of the file alive afterwards.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/shape.h"

namespace secondsource {

/// How a weight's values are encoded. The quantizers are defined in docs/bundle-format.md; they never produce the
/// lowest code of an integer type, but published checkpoints contain it.
enum class WeightEncoding : std::uint8_t {
  kF32,
  kBf16,
  kF16,
  kInt8PerRow,   ///< w[n, k] = scale[n] * q[n, k], q in [-128, 127], scale f32
  kInt8Group32,  ///< w[n, k] = scale[n, k / 32] * q[n, k], q in [-128, 127], scale FP16 (passed as f32, exactly)
  kInt4Group32,  ///< w[n, k] = scale[n, k / 32] * q[n, k], q in [-8, 7], scale FP16 (passed as f32, exactly)
  kFp8PerRow,    ///< w[n, k] = scale[n] * q[n, k], q in E4M3 (core/e4m3.h), scale f32
  /// w[n, k] = scale[n, k / 32] * (q[n, k] - zero[n, k / 32]), q and zero in [-8, 7], scale FP16; scale and zero are
  /// passed as f32, exactly
  kInt4Group32Zero,
  kFp8Group128,  ///< w[n, k] = scale[n, k / 128] * q[n, k], q in E4M3, scale f32, which rows of a block of the checkpoint share
  /// w[n, k] = scale[n, k / 32] * q[n, k], q in E2M1 (core/e2m1.h), scale a power of two from 2^-127 to 2^127 (passed as f32, exactly)
  kMxfp4Group32,
  /// w[n, k] = (scale[n, k / 16] * q[n, k]) * global[n], q in E2M1, scale in E4M3 (passed as f32, exactly), global f32,
  /// which all rows of a matrix share; the product in parentheses is exact in f32 and in BF16
  kNvfp4Group16,
  // Blocks of columns as they are in a GGUF file; block_form() gives their sizes. The columns of a block are divided
  // into parts:
  //
  //   w[n, k] = (d * s[part of k]) * q[n, k] - (dmin * m[part of k])
  //
  // d and dmin are FP16 numbers; s, m and q are integers. For each block the floats d, dmin, all s and all m are
  // passed. dmin and m are absent in encodings without minima; s and m are absent, and count as 1, where a block is a
  // single part.
  kQ2K,    ///< q in [0, 3], s and m in [0, 15]
  kQ3K,    ///< q in [-4, 3], s in [-32, 31], no minima
  kQ4K,    ///< q in [0, 15], s and m in [0, 63]
  kQ5K,    ///< q in [0, 31], s and m in [0, 63]
  kQ6K,    ///< q in [-32, 31], s in [-128, 127], no minima
  kIq4Xs,  ///< q one of kFourBitCurve (core/four_bit_curve.h), s in [-32, 31], no minima
  kQ41,    ///< one part: q in [0, 15]; dmin is what Q4_1 adds, with the opposite sign
  kQ50,    ///< one part: q in [-16, 15], no minimum
  kQ51,    ///< one part: q in [0, 31]; dmin as in kQ41
  kIq4Nl,  ///< one part: q one of kFourBitCurve, no minimum
};

[[nodiscard]] std::string_view to_string(WeightEncoding encoding);

/// Number of columns that share one scale (and one zero point, if there are any) in kInt8Group32, kInt4Group32,
/// kInt4Group32Zero and kMxfp4Group32; the last group of a row may be shorter.
inline constexpr std::int64_t kScaleGroupSize = 32;

/// The same in kNvfp4Group16.
inline constexpr std::int64_t kNvfp4GroupSize = 16;

/// Number of columns that share one scale in kFp8Group128, and of activations that share one if has_fp8_groups(); the
/// last group of a row may be shorter.
inline constexpr std::int64_t kFp8GroupSize = 128;

/// The encodings whose columns come in GGUF blocks.
inline constexpr std::array kBlockEncodings = {
    WeightEncoding::kQ2K,   WeightEncoding::kQ3K, WeightEncoding::kQ4K, WeightEncoding::kQ5K, WeightEncoding::kQ6K,
    WeightEncoding::kIq4Xs, WeightEncoding::kQ41, WeightEncoding::kQ50, WeightEncoding::kQ51, WeightEncoding::kIq4Nl};

/// The sizes of GGUF blocks.
struct BlockForm {
  std::int64_t n_cols = 0;     ///< of a block, of which a row has whole ones; 0 where columns do not come in blocks
  std::int64_t n_bytes = 0;    ///< of a block in the file
  std::int64_t part_cols = 0;  ///< columns that share s and m; 0 where a block is one part
  bool has_minima = false;

  [[nodiscard]] constexpr std::int64_t n_parts() const { return part_cols == 0 ? 0 : n_cols / part_cols; }
  /// d and dmin, or d alone.
  [[nodiscard]] constexpr std::int64_t n_units() const { return has_minima ? 2 : 1; }
  /// Floats that are passed with the codes of a block.
  [[nodiscard]] constexpr std::int64_t n_floats() const { return n_units() * (1 + n_parts()); }
};

[[nodiscard]] constexpr BlockForm block_form(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kQ2K:
      return {.n_cols = 256, .n_bytes = 84, .part_cols = 16, .has_minima = true};
    case WeightEncoding::kQ3K:
      return {.n_cols = 256, .n_bytes = 110, .part_cols = 16};
    case WeightEncoding::kQ4K:
      return {.n_cols = 256, .n_bytes = 144, .part_cols = 32, .has_minima = true};
    case WeightEncoding::kQ5K:
      return {.n_cols = 256, .n_bytes = 176, .part_cols = 32, .has_minima = true};
    case WeightEncoding::kQ6K:
      return {.n_cols = 256, .n_bytes = 210, .part_cols = 16};
    case WeightEncoding::kIq4Xs:
      return {.n_cols = 256, .n_bytes = 136, .part_cols = 32};
    case WeightEncoding::kQ41:
      return {.n_cols = 32, .n_bytes = 20, .has_minima = true};
    case WeightEncoding::kQ50:
      return {.n_cols = 32, .n_bytes = 22};
    case WeightEncoding::kQ51:
      return {.n_cols = 32, .n_bytes = 24, .has_minima = true};
    case WeightEncoding::kIq4Nl:
      return {.n_cols = 32, .n_bytes = 18};
    default:
      return {};
  }
}

/// True if columns come in GGUF blocks.
[[nodiscard]] constexpr bool has_blocks(WeightEncoding encoding) {
  return block_form(encoding).n_cols > 0;
}

/// True if a code is an E4M3 number (core/e4m3.h).
[[nodiscard]] constexpr bool has_fp8_codes(WeightEncoding encoding) {
  return encoding == WeightEncoding::kFp8PerRow || encoding == WeightEncoding::kFp8Group128;
}

/// True if a code is a two's complement number of four bits.
[[nodiscard]] constexpr bool has_int4_codes(WeightEncoding encoding) {
  return encoding == WeightEncoding::kInt4Group32 || encoding == WeightEncoding::kInt4Group32Zero;
}

/// True if a code is an E2M1 number (core/e2m1.h).
[[nodiscard]] constexpr bool has_e2m1_codes(WeightEncoding encoding) {
  return encoding == WeightEncoding::kMxfp4Group32 || encoding == WeightEncoding::kNvfp4Group16;
}

/// True if a code has four bits, of which two are stored in a byte.
[[nodiscard]] constexpr bool has_four_bit_codes(WeightEncoding encoding) {
  return has_int4_codes(encoding) || has_e2m1_codes(encoding);
}

/// Columns that share one of the scales of a row; 0 where a row has one scale or none, or where columns come in GGUF
/// blocks.
[[nodiscard]] constexpr std::int64_t group_columns(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kInt8Group32:
    case WeightEncoding::kInt4Group32:
    case WeightEncoding::kInt4Group32Zero:
    case WeightEncoding::kMxfp4Group32:
      return kScaleGroupSize;
    case WeightEncoding::kNvfp4Group16:
      return kNvfp4GroupSize;
    case WeightEncoding::kFp8Group128:
      return kFp8GroupSize;
    default:
      return 0;
  }
}

/// Floats of a row that are passed before the scales of its groups: the global scale of kNvfp4Group16.
[[nodiscard]] constexpr std::int64_t floats_before_group_scales(WeightEncoding encoding) {
  return encoding == WeightEncoding::kNvfp4Group16 ? 1 : 0;
}

/// True if the sum of a row's products is multiplied by a single number, the first of the row's floats.
[[nodiscard]] constexpr bool has_row_scale(WeightEncoding encoding) {
  return encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kFp8PerRow ||
         encoding == WeightEncoding::kNvfp4Group16;
}

/// Bytes of one value as a WeightSource delivers it: f32 4, bf16 and f16 2, int8, int4 (one int8 per value), fp8, mxfp4 and
/// nvfp4 (an E2M1 number in the low bits of a byte), blocks of GGUF (one int8 per value) 1.
[[nodiscard]] std::size_t transfer_bytes_per_value(WeightEncoding encoding);

/// Number of floats beside the codes of a row of `n_cols` values: 0 if unquantized, 1 scale for kInt8PerRow and kFp8PerRow,
/// ceil(n_cols / 32) scales for groups of 32 and ceil(n_cols / 128) for groups of 128, and for kInt4Group32Zero as many zero points
/// after them; for kNvfp4Group16 the row's global scale, and after it ceil(n_cols / 16) scales; BlockForm::n_floats() for each block of
/// GGUF.
[[nodiscard]] std::int64_t scales_per_row(WeightEncoding encoding, std::int64_t n_cols);

/// The fewest bytes that a matrix takes wherever it is stored: its values (half a byte for a code of four bits), its
/// scales (f32 per row, FP16 per group of 32, a byte per group in mxfp4 and nvfp4, or f32 per 128 x 128 values), and
/// half a byte for a zero point; BlockForm::n_bytes for a GGUF block. Weight traffic and memory rates are counted in
/// these bytes.
[[nodiscard]] double encoded_bytes(WeightEncoding encoding, std::int64_t n_rows, std::int64_t n_cols);

/// The stored bytes from which rows are made.
struct StoredContent {
  /// Changes whenever the bytes may have changed: the identity of the file (core/file.h) and the place in it.
  std::string identity;
  bool is_settled = false;  ///< the last change is long enough ago that `identity` will show the next one
  std::size_t size_bytes = 0;
  std::string conversion;  ///< how the bytes become rows: stored type, encoding, version of the quantizers
};

/// The source from which a backend pulls the rows of one tensor. May be called from several threads at once.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Reads rows [first_row, first_row + n_rows), in the encoding of the WeightSpec that names this source.
  /// values: n_rows * n_cols * transfer_bytes_per_value bytes, row-major; scales: n_rows * scales_per_row floats, those of one row
  /// after the other.
  /// Errors: kIo.
  virtual Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                                 std::span<float> scales) const = 0;
  /// The stored bytes behind the rows, by which a cache of packed weights identifies them. Empty when the content
  /// cannot be identified, or when the rows are delivered as they are stored, because then a cache would save nothing.
  [[nodiscard]] virtual std::optional<StoredContent> stored_content() const { return std::nullopt; }
  /// Reads bytes [offset, offset + out.size()) of stored_content(). Errors: kIo.
  virtual Result<void> read_stored(std::size_t offset, std::span<std::byte> out) const {
    (void)offset;
    (void)out;
    return Error{ErrorCode::kUnsupported, "these rows are not stored anywhere"};
  }
};

/// How the parts of a weight are joined into one matrix.
enum class Join : std::uint8_t {
  kNone,              ///< a single part
  kConcatRows,        ///< the rows of the parts one after the other (q, k, v)
  kInterleaveGateUp,  ///< two parts of equal shape, gate and up, for the gated epilogues
};

struct WeightPart {
  std::int64_t n_rows = 0;
  std::shared_ptr<const WeightSource> source;
};

/// One weight: a matrix [n_rows, n_cols], where row n holds the K = n_cols inputs of output n, or a vector ([n] as [1,
/// n], for norm weights and biases). The experts of a mixture are one weight [n_experts * n_rows, n_cols], kConcatRows.
struct WeightSpec {
  std::string name;  ///< for messages and the report: "layers.3.attention.qkv"
  std::int64_t n_rows = 0;
  std::int64_t n_cols = 0;
  WeightEncoding encoding = WeightEncoding::kBf16;
  std::vector<WeightPart> parts;  ///< their rows add up to n_rows
  Join join = Join::kNone;
  std::int64_t n_experts = 1;  ///< > 1: the parts repeat per expert, expert-major
};

}  // namespace secondsource
