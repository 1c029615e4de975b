#pragma once
// Views of a weight source with rows in another place or order, and vectors with changed values. The loader needs them
// where a model's tensors are not laid out as the boundary requires.
//
// The boundary rotates elements i and i + head_dim/2 of a head together (backend/op.h). A model that pairs other
// elements, or that rotates only a part of a head, is equivalent to a model with the elements of its q and k heads in
// another order: the rows of the two projections, their biases and head norms are reordered alike, and scores do not
// change.

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/weights.h"
#include "bundle/model_config.h"

namespace secondsource {

/// Element i of a reordered head is element order[i] of the model's. Empty if nothing changes.
using HeadOrder = std::vector<std::int64_t>;

/// The order that moves the model's pairs to i and i + head_dim/2, and the elements that are not rotated to the
/// remaining places.
[[nodiscard]] HeadOrder head_order_of(const ModelConfig& config);

/// The same for queries of latent attention as the model has them (plain part, rotated part) and for what is cached
/// (latent, rotated part): `n_plain` elements stay in place, and the elements after them are those that LatentAppend
/// rotates.
[[nodiscard]] HeadOrder latent_order_of(const ModelConfig& config, std::int64_t n_plain);

/// Rows [first_row, first_row + n_rows) of a source, head by head in `order`.
struct RowView {
  std::int64_t first_row = 0;
  std::int64_t n_rows = 0;
  HeadOrder order = {};
};

/// The extents of a source's rows.
struct RowShape {
  std::int64_t n_cols = 0;
  WeightEncoding encoding = WeightEncoding::kF32;
};

[[nodiscard]] std::shared_ptr<const WeightSource> view_rows(std::shared_ptr<const WeightSource> source, RowView view,
                                                            RowShape shape);

/// The elements of a source of one row, head by head in `order`. `shape` must have no scales.
[[nodiscard]] std::shared_ptr<const WeightSource> reorder_vector(std::shared_ptr<const WeightSource> source,
                                                                 HeadOrder order, RowShape shape);

/// The rows of a source, one after the other, as a vector. `shape` is that of the source and must have no scales.
[[nodiscard]] std::shared_ptr<const WeightSource> flatten_rows(std::shared_ptr<const WeightSource> source,
                                                               std::int64_t n_rows, RowShape shape);

/// How a stored norm weight w is used: (w + offset) * factor, computed in f32.
struct NormMeaning {
  float offset = 0.0F;
  float factor = 1.0F;
  [[nodiscard]] bool is_plain() const { return offset == 0.0F && factor == 1.0F; }
};

/// The values of a source of one row with `meaning` applied, in kF32. `shape` must have no scales.
[[nodiscard]] std::shared_ptr<const WeightSource> adjust_vector(std::shared_ptr<const WeightSource> source,
                                                                NormMeaning meaning, RowShape shape);

}  // namespace secondsource
