#pragma once
// The values and weights that an operation reads and writes; used to plan a workspace, to fuse operations and for
// checks.

#include <string>
#include <vector>

#include "backend/op.h"

namespace secondsource {

struct OpAccess {
  std::vector<ValueId> reads;
  std::vector<ValueId> writes;  ///< may contain an entry of reads if the operation works in place
  std::vector<WeightId> weights;
};

[[nodiscard]] OpAccess op_access(const Op& op);

/// "layers.3.attention.qkv (matmul)": the name of operation `index` in messages and reports.
[[nodiscard]] std::string op_label(const StepGraph& graph, std::size_t index);

}  // namespace secondsource
