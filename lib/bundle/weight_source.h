#pragma once
// Rows of a stored tensor in the encoding of a variant, made on the fly from the file: what a backend pulls its
// weights from (backend/weights.h).

#include <memory>

#include "backend/weights.h"
#include "bundle/tensor_store.h"
#include "core/result.h"

namespace secondsource {

/// A source of the rows of `tensor` ([rows, cols], or [n] as one row) in `encoding`. Keeps the file open. Safe to
/// read from several threads. read_rows fails with kInvalidInput when a value that has to be quantized is not finite,
/// or beyond FP16 where that is the encoding. Errors: kUnsupported when the tensor is not stored in F32, F16 or BF16,
/// kInvalidInput for more than two dimensions.
Result<std::shared_ptr<const WeightSource>> make_weight_source(const StoredTensor& tensor, WeightEncoding encoding);

}  // namespace secondsource
