#pragma once
// E: the reference with the roundings that a backend may make (docs/correctness.md): matmul inputs, queries, keys,
// values and softmax weights to BF16. |E - R| is the yardstick for every tolerance.

#include <memory>

#include "backend/backend.h"

namespace secondsource::conformance {

[[nodiscard]] std::unique_ptr<Backend> make_envelope_backend();

/// R itself, in this process.
[[nodiscard]] std::unique_ptr<Backend> make_expected_backend();

}  // namespace secondsource::conformance
