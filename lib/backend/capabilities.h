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
  /// kNone; kInt8PerRow or kInt8Static for W8A8; kFp8PerRow, kFp8Static or a per-group one for FP8; or kNvfp4Static
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

/// The encoding's name with the treatment of activations: "bf16"; "int8-w8a8" with quantized activations. FP8 implies
/// quantized activations ("fp8", "fp8-g128"), and "fp8-w8a16" and "fp8-g128-w8a16" are without.
[[nodiscard]] std::string weight_support_name(WeightEncoding encoding, ActQuant act);

}  // namespace secondsource
