#pragma once
// Assigns each value of a graph a place in one block of memory; later values reuse the memory of dead ones.

#include <cstddef>
#include <vector>

#include "backend/batch.h"
#include "backend/op.h"

namespace secondsource {

/// The most rows that a value can have in a step of this bucket.
[[nodiscard]] std::int32_t max_rows(Rows rows, const Bucket& bucket);

struct WorkspacePlan {
  std::vector<std::size_t> offsets;  ///< [values], bytes; a value that no operation touches has offset 0
  std::vector<std::size_t> sizes;    ///< [values], bytes of max_rows x cols
  std::size_t total_bytes = 0;
};

/// Never reuses the memory of an observed value, and never places an operation's output over its input. With
/// `gap_bytes` > 0 no memory is reused, and each value is followed by that many unused bytes, as room for guards.
[[nodiscard]] WorkspacePlan plan_workspace(const StepGraph& graph, const Bucket& bucket, std::size_t alignment_bytes,
                                           std::size_t gap_bytes = 0);

}  // namespace secondsource
