#pragma once
// Makes rows of weights in blocks of GGUF for tests of the kernels. The function that Weights calls packs them. Their values come from
// backend/block_values.h, which tests/unit/bundle/published_weights_test.cpp compares with the dequantization of the file's blocks.

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "backend/block_values.h"
#include "core/four_bit_curve.h"
#include "core/half.h"
#include "gpu/host/block_rows.h"

namespace secondsource::gpu {

/// One row.
struct PackedBlocks {
  std::vector<std::byte> codes;  ///< as transferred
  std::vector<float> floats;     ///< as transferred
  std::vector<std::byte> packed;
  std::vector<float> values;
};

/// The view of a matrix in blocks; the caller sets the pointer to its bytes.
inline WeightView view_of_blocks(WeightEncoding encoding, std::int32_t n_rows, std::int32_t n_cols) {
  const BlockRow row = block_row(encoding, n_cols);
  return {.blocks = row,
          .row_bytes = row.n_bytes,
          .n_rows = n_rows,
          .n_cols = n_cols,
          .padded_cols = n_cols,
          .encoding = encoding};
}

/// Packs one row. The code of a column is stored_code(col) modulo the number of codes. Units, scales and minima are random and cover
/// all magnitudes and signs of the encoding.
template <typename StoredCode>
PackedBlocks pack_blocks(WeightEncoding encoding, std::int32_t n_cols, std::mt19937& random,
                         const StoredCode& stored_code) {
  const BlockForm form = block_form(encoding);
  const BlockCodes codes = block_codes(encoding);
  PackedBlocks row;
  for (std::int32_t col = 0; col < n_cols; ++col) {
    const auto code =
        static_cast<std::size_t>(stored_code(col)) % (std::size_t{1} << (codes.low_bits + codes.high_bits));
    row.codes.push_back(
        static_cast<std::byte>(codes.is_on_curve ? int{kFourBitCurve[code]} : static_cast<int>(code) - codes.zero));
  }
  const auto whole = [&](int least, int most) {
    return static_cast<float>(least + static_cast<int>(random() % static_cast<unsigned>(most + 1 - least)));
  };
  const int most_scale = encoding == WeightEncoding::kQ6K ? 127 : encoding == WeightEncoding::kQ2K ? 15 : 31;
  for (std::int64_t block = 0; block < n_cols / form.n_cols; ++block) {
    for (std::int64_t i = 0; i < form.n_units(); ++i)
      row.floats.push_back(to_float(to_f16(whole(-2000, 2000) / 977.0F)));
    for (std::int64_t i = 0; i < form.n_parts(); ++i) {
      row.floats.push_back(whole(form.has_minima ? 0 : -most_scale - 1, most_scale));
    }
    for (std::int64_t i = 0; form.has_minima && i < form.n_parts(); ++i) {
      row.floats.push_back(whole(0, encoding == WeightEncoding::kQ2K ? 15 : 63));
    }
  }
  row.values.resize(static_cast<std::size_t>(n_cols));
  const auto block_cols = static_cast<std::size_t>(form.n_cols);
  const auto n_floats = static_cast<std::size_t>(form.n_floats());
  for (std::size_t block = 0; block < row.values.size() / block_cols; ++block) {
    values_of_block(encoding, std::span(row.codes).subspan(block * block_cols, block_cols),
                    std::span(row.floats).subspan(block * n_floats, n_floats),
                    std::span(row.values).subspan(block * block_cols, block_cols));
  }
  row.packed.resize(static_cast<std::size_t>(block_row(encoding, n_cols).n_bytes));
  pack_block_row(encoding, row.codes, row.floats, row.packed);
  return row;
}

}  // namespace secondsource::gpu
