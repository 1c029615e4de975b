#pragma once
// Pulls a weight out of its source piece by piece, so that preparing it never holds more than a bounded part of the
// rows.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "backend/weights.h"
#include "core/result.h"

namespace secondsource {

/// The most bytes of a weight's source that a backend may hold at once (docs/backends.md).
inline constexpr std::size_t kMaxPullBytes = std::size_t{64} << 20;

/// Rows [first_row, first_row + n_rows) of a weight in canonical order: the rows of the parts one after the other, in
/// the order of WeightSpec::parts, whatever the join.
struct WeightRows {
  std::int64_t first_row = 0;
  std::int64_t n_rows = 0;
  std::span<const std::byte> values;  ///< n_rows * n_cols values as transferred
  std::span<const float> scales;      ///< n_rows * scales_per_row
};

/// Checks `spec` (check_weight_spec) and passes its rows to `sink` in canonical order, in pieces of at most `max_bytes`
/// or of one row. Errors: kInvalidInput, kIo, or those of `sink`.
Result<void> pull_weight_rows(const WeightSpec& spec, const std::function<Result<void>(const WeightRows&)>& sink,
                              std::size_t max_bytes = kMaxPullBytes);

/// Reads rows [first_row, first_row + n_rows) in canonical order, from all the parts they lie in, into buffers laid out
/// as for WeightSource::read_rows. For a backend that packs with several threads, each with its own rows. `spec` must
/// have passed check_weight_spec. Errors: those of the source.
Result<void> read_weight_rows(const WeightSpec& spec, std::int64_t first_row, std::int64_t n_rows,
                              std::span<std::byte> values, std::span<float> scales);

/// Converts the values to f32: w = scale * q, or scale * (q - zero), for the quantized encodings. out: [n_rows, n_cols].
void decode_weight_rows(WeightEncoding encoding, std::int64_t n_cols, const WeightRows& rows, std::span<float> out);

}  // namespace secondsource
