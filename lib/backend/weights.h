#pragma once
// Weights as they cross the boundary: a description, and a source that the backend pulls rows from. The backend copies
// them once into a layout of its own; nothing here keeps the file's bytes alive afterwards.

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

/// How a weight's values are encoded. The quantizers are defined in docs/bundle-format.md.
enum class WeightEncoding : std::uint8_t {
  kF32,
  kBf16,
  kF16,
  kInt8PerRow,   ///< w[n, k] = scale[n] * q[n, k], q in [-127, 127], scale f32
  kInt8Group32,  ///< w[n, k] = scale[n, k / 32] * q[n, k], q in [-127, 127], scale FP16 (handed over as f32, exactly)
  kInt4Group32,  ///< w[n, k] = scale[n, k / 32] * q[n, k], q in [-7, 7], scale FP16 (handed over as f32, exactly)
};

[[nodiscard]] std::string_view to_string(WeightEncoding encoding);

/// Columns that share one scale in kInt8Group32 and kInt4Group32; the last group of a row may be shorter.
inline constexpr std::int64_t kScaleGroupSize = 32;

/// Bytes of one value as a WeightSource hands it over: f32 4, bf16 and f16 2, int8 and int4 1 (one int8 a value).
[[nodiscard]] std::size_t transfer_bytes_per_value(WeightEncoding encoding);

/// Scales of one row of `n_cols` values: 0 for unquantized, 1 for kInt8PerRow, ceil(n_cols / 32) for groups of 32.
[[nodiscard]] std::int64_t scales_per_row(WeightEncoding encoding, std::int64_t n_cols);

/// Bytes that a matrix has at least wherever it is kept: its values, an int4 being half a byte, and its scales, f32 for
/// rows and FP16 for groups. What weights that are read and memory rates are counted in.
[[nodiscard]] double encoded_bytes(WeightEncoding encoding, std::int64_t n_rows, std::int64_t n_cols);

/// The stored bytes that rows are made of.
struct StoredContent {
  std::string identity;     ///< changes whenever the bytes may have: a file's (core/file.h), and the place in it
  bool is_settled = false;  ///< the last change is so long ago that `identity` will show the next one
  std::size_t size_bytes = 0;
  std::string conversion;  ///< what makes rows of them: stored type, encoding, version of the quantizers
};

/// Where a backend pulls the rows of one tensor from; from several threads at once, if it likes.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Rows [first_row, first_row + n_rows), in the encoding of the WeightSpec that names this source.
  /// values: n_rows * n_cols * transfer_bytes_per_value bytes, row-major; scales: n_rows * scales_per_row floats.
  /// Errors: kIo.
  virtual Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                                 std::span<float> scales) const = 0;
  /// For what is kept of the rows' packed form. Empty when nothing tells their content, or when they are handed over as
  /// they are stored: then to read them is all there is to save.
  [[nodiscard]] virtual std::optional<StoredContent> stored_content() const { return std::nullopt; }
  /// Bytes [offset, offset + out.size()) of stored_content(). Errors: kIo.
  virtual Result<void> read_stored(std::size_t offset, std::span<std::byte> out) const {
    (void)offset;
    (void)out;
    return Error{ErrorCode::kUnsupported, "these rows are not stored anywhere"};
  }
};

/// How the parts of a weight become one matrix.
enum class Join : std::uint8_t {
  kNone,              ///< one part
  kConcatRows,        ///< the parts' rows one after the other (q, k, v)
  kInterleaveGateUp,  ///< two parts of equal shape, gate and up: for the epilogues kGatedSilu and kGatedGelu
};

struct WeightPart {
  std::int64_t n_rows = 0;
  std::shared_ptr<const WeightSource> source;
};

/// One weight: a matrix [n_rows, n_cols], row n holding the K = n_cols inputs of output n, or a vector ([n] as [1, n]
/// for norm weights and biases). Experts of a mixture are one weight [n_experts * n_rows, n_cols], kConcatRows.
struct WeightSpec {
  std::string name;  ///< for messages and the report, "layers.3.attention.qkv"
  std::int64_t n_rows = 0;
  std::int64_t n_cols = 0;
  WeightEncoding encoding = WeightEncoding::kBf16;
  std::vector<WeightPart> parts;  ///< their rows sum up to n_rows
  Join join = Join::kNone;
  std::int64_t n_experts = 1;  ///< > 1: parts repeat per expert, expert-major
};

}  // namespace secondsource
