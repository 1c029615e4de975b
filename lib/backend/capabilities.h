#pragma once
// The operations and weight encodings that a backend supports, found by asking it about each; for `secondsource
// backends`.

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
  /// kNone, kInt8PerRow and kInt8Static for W8A8, or kFp8PerRow, kFp8Static and those of groups for fp8, or kNvfp4Static
  ActQuant act{};
  Support support;
};

struct Capabilities {
  std::vector<OperationSupport> operations;  ///< in the order of the alternatives of Op
  std::vector<WeightSupport> weights;        ///< as variants combine them: kNone, then int8, then fp8, then nvfp4
};

/// Asks the backend about one ordinary instance of every operation. compile() may still refuse the shapes of a
/// particular model.
[[nodiscard]] Capabilities probe_capabilities(const Backend& backend);

/// "bf16", or "int8-w8a8" when activations are quantized as well, as in "fp8" and "fp8-g128" but not in "fp8-w8a16" and "fp8-g128-w8a16".
[[nodiscard]] std::string weight_support_name(WeightEncoding encoding, ActQuant act);

}  // namespace secondsource
