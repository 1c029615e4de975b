#pragma once
// Reads the rows of a stored tensor and converts them on the fly to the encoding of a variant. A backend pulls its
// weights from this source (backend/weights.h).

#include <cstdint>
#include <memory>
#include <span>

#include "backend/weights.h"
#include "bundle/tensor_store.h"
#include "core/result.h"

namespace secondsource {

/// Makes a source of the rows of `tensor` ([rows, cols], [n] as one row, or [experts, rows, cols] as the rows of one
/// expert after the other) in `encoding`. It keeps the file open, and several threads may read from it at once.
/// read_rows fails with kInvalidInput if a value is not finite as stored, or exceeds the encoding. Published codes are
/// delivered unchanged in their own encoding, in the order of column_order_of(), and by their values in any other
/// encoding. Errors: kUnsupported if the tensor is not stored in F32, F16 or BF16, or has transposed codes;
/// kInvalidInput for more than three dimensions.
Result<std::shared_ptr<const WeightSource>> make_weight_source(const StoredTensor& tensor, WeightEncoding encoding);

/// The order of columns if act-order codes are delivered in their own encoding: column i of the rows of
/// make_weight_source() is column [i] of the tensor. Empty for everything else, which has the tensor's order.
[[nodiscard]] std::span<const std::int32_t> column_order_of(const StoredTensor& tensor, WeightEncoding encoding);

/// Columns of one matrix of a tensor [matrices, inputs, outputs], the layout in which some classes store their experts.
/// A tensor [inputs, outputs] counts as one matrix.
struct ColumnView {
  std::int64_t matrix = 0;
  std::int64_t first_column = 0;
  std::int64_t step = 1;  ///< from one column to the next
  std::int64_t n_columns = 0;
  std::int64_t first_input = 0;
  std::int64_t n_inputs = 0;  ///< of each column; 0: all from first_input on
};

/// Makes a source whose rows are columns of `tensor`; otherwise like make_weight_source(). Errors: kUnsupported for
/// another type, for codes that are not transposed, and for a part of each column of transposed codes; kInvalidInput
/// for columns outside the tensor.
Result<std::shared_ptr<const WeightSource>> make_column_source(const StoredTensor& tensor, const ColumnView& view,
                                                               WeightEncoding encoding);

}  // namespace secondsource
