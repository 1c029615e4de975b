#include "bundle/finite_weights.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "bundle/model_tensors.h"
#include "bundle/published_weights.h"
#include "bundle/variant.h"
#include "bundle/weight_source.h"

namespace secondsource {
namespace {

constexpr std::int64_t kPieceBytes = std::int64_t{1} << 20;

/// Size of the tensor's values in the tensor's type, even if they are stored as codes.
std::int64_t bytes_of(const StoredTensor& tensor) {
  return tensor.info.shape.n_elements().value() * static_cast<std::int64_t>(size_of(*tensor.info.dtype));
}

/// One source for all rows; for transposed codes, one source for each matrix.
Result<std::vector<std::shared_ptr<const WeightSource>>> sources_of(const StoredTensor& tensor,
                                                                    WeightEncoding encoding) {
  std::vector<std::shared_ptr<const WeightSource>> sources;
  if (!tensor.published || !tensor.published->form.is_transposed) {
    SS_TRY(auto source, make_weight_source(tensor, encoding));
    sources.push_back(std::move(source));
    return sources;
  }
  const std::int64_t n_outputs = tensor.info.shape.extent(2);
  for (std::int64_t matrix = 0; matrix < tensor.info.shape.extent(0); ++matrix) {
    SS_TRY(auto source, make_column_source(tensor, {.matrix = matrix, .n_columns = n_outputs}, encoding));
    sources.push_back(std::move(source));
  }
  return sources;
}

}  // namespace

Result<void> check_finite_weights(const ModelConfig& config, const TensorStore& tensors, Progress& progress,
                                  const InterruptFlag& interrupt) {
  std::int64_t total_bytes = 0;
  const std::vector<TensorSpec> specs = model_tensors(config);
  for (const TensorSpec& spec : specs) {
    total_bytes += bytes_of(*tensors.find(spec.name));
  }
  progress.begin("weights (MiB)", total_bytes >> 20);
  std::int64_t n_bytes = 0;
  std::vector<std::byte> rows;
  for (const TensorSpec& spec : specs) {
    const StoredTensor& stored = *tensors.find(spec.name);
    SS_TRY(const WeightEncoding encoding, encoding_as_stored(*stored.info.dtype));
    SS_TRY(const std::vector<std::shared_ptr<const WeightSource>> sources, sources_of(stored, encoding));
    const Shape shape = stored.published ? shape_of_rows(stored.published->form, spec.shape) : spec.shape;
    const std::int64_t n_rows = n_rows_of(shape) / static_cast<std::int64_t>(sources.size());
    const std::int64_t row_bytes = bytes_of(stored) / n_rows_of(shape);
    const std::int64_t piece = std::max<std::int64_t>(1, kPieceBytes / row_bytes);
    for (const std::shared_ptr<const WeightSource>& source : sources) {
      for (std::int64_t row = 0; row < n_rows; row += piece) {
        SS_TRY_VOID(interrupt.check());
        const std::int64_t n = std::min(piece, n_rows - row);
        rows.resize(static_cast<std::size_t>(n * row_bytes));
        SS_TRY_VOID(source->read_rows(row, n, rows, {}));
        n_bytes += n * row_bytes;
        progress.update(n_bytes >> 20);
      }
    }
  }
  return {};
}

}  // namespace secondsource
