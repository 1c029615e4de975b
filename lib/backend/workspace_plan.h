#pragma once
// Where each value of a graph lives in one block of memory: dead values give their place to later ones.

#include <cstddef>
#include <vector>

#include "backend/batch.h"
#include "backend/op.h"

namespace secondsource {

/// The most rows a value can have in a step of this bucket.
[[nodiscard]] std::int32_t max_rows(Rows rows, const Bucket& bucket);

struct WorkspacePlan {
  std::vector<std::size_t> offsets;  ///< [values], bytes; a value that no operation touches has offset 0
  std::vector<std::size_t> sizes;    ///< [values], bytes of max_rows x cols
  std::size_t total_bytes = 0;
};

/// Never reuses the place of an observed value, nor that of an operation's input for its output. With `gap_bytes` > 0
/// nothing is reused at all and each value is followed by that many bytes that belong to nobody: room for guards.
[[nodiscard]] WorkspacePlan plan_workspace(const StepGraph& graph, const Bucket& bucket, std::size_t alignment_bytes,
                                           std::size_t gap_bytes = 0);

}  // namespace secondsource
