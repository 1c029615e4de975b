#pragma once
// Joins vectors into one row. It serves the biases of q, k and v, which are one [1, N] weight for the backend.

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/weights.h"

namespace secondsource {

struct VectorPart {
  std::int64_t n_cols = 0;
  std::shared_ptr<const WeightSource> source;  ///< a source of one row
};

/// Returns a source of all parts joined, in their order. `encoding` must have no scales.
[[nodiscard]] std::shared_ptr<const WeightSource> concat_vectors(std::vector<VectorPart> parts,
                                                                 WeightEncoding encoding);

}  // namespace secondsource
