#pragma once
// What a backend says that it can do, asked operation by operation: for `secondsource backends`.

#include <string>
#include <vector>

#include "backend/backend.h"

namespace secondsource {

struct OperationSupport {
  std::string operation;  ///< op_name()
  Support support;
};

struct WeightSupport {
  WeightEncoding encoding{};
  ActQuant act{};  ///< kNone, or kInt8PerRow for W8A8
  Support support;
};

struct Capabilities {
  std::vector<OperationSupport> operations;  ///< in the order of the variant Op
  std::vector<WeightSupport> weights;        ///< every encoding with kNone, then int8 and int8-g32 with kInt8PerRow
};

/// Asks about one ordinary instance of every operation; shapes of a particular model may still be refused by compile().
[[nodiscard]] Capabilities probe_capabilities(const Backend& backend);

/// "bf16", or "int8-w8a8" when activations are quantized too.
[[nodiscard]] std::string weight_support_name(WeightEncoding encoding, ActQuant act);

}  // namespace secondsource
