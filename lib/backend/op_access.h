#pragma once
// What an operation reads and writes: for planning a workspace, for fusing, for checks.

#include <string>
#include <vector>

#include "backend/op.h"

namespace secondsource {

struct OpAccess {
  std::vector<ValueId> reads;
  std::vector<ValueId> writes;  ///< may repeat an entry of reads where the operation works in place
  std::vector<WeightId> weights;
};

[[nodiscard]] OpAccess op_access(const Op& op);

/// "layers.3.attention.qkv (matmul)": how messages and reports name operation `index`.
[[nodiscard]] std::string op_label(const StepGraph& graph, std::size_t index);

}  // namespace secondsource
