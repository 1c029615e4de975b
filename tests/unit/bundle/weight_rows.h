#pragma once
// All rows of a stored matrix, as a backend would read them.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/weights.h"
#include "bundle/tensor_store.h"
#include "bundle/weight_source.h"
#include "support/result.h"

namespace secondsource::test {

struct WeightRows {
  std::vector<std::byte> values;
  std::vector<float> scales;
};

/// Reads the rows of a matrix in `encoding`.
inline WeightRows rows_of(const StoredTensor& tensor, WeightEncoding encoding) {
  const auto source = make_weight_source(tensor, encoding);
  REQUIRE_OK(source);
  const std::int64_t n_rows = tensor.info.shape.extent(0);
  const std::int64_t n_cols = tensor.info.shape.extent(1);
  WeightRows rows;
  rows.values.resize(static_cast<std::size_t>(n_rows * n_cols) * transfer_bytes_per_value(encoding));
  rows.scales.resize(static_cast<std::size_t>(n_rows * scales_per_row(encoding, n_cols)));
  REQUIRE_OK((*source)->read_rows(0, n_rows, rows.values, rows.scales));
  return rows;
}

}  // namespace secondsource::test
