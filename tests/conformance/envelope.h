#pragma once
// E: the reference with the roundings that a backend may make (docs/correctness.md): matmul inputs, queries, keys,
// values and softmax weights to BF16. |E - R| is the yardstick for every tolerance.

#include <memory>

#include "backend/backend.h"

namespace secondsource::conformance {

/// Draw `draw` in [0, kDraws) of it. Draw 0 rounds to BF16. The others round c x to BF16 and divide by c again, c =
/// 2^(draw / kDraws): errors of the same size, but others. What is exact in BF16 stays exact in all of them. `kv_dtype`
/// as below.
[[nodiscard]] std::unique_ptr<Backend> make_envelope_backend(int draw, DType kv_dtype = DType::kF32);

/// R itself, in this process. `kv_dtype` is that of the backend under test: an i8 cache is one here too, others are
/// f32.
[[nodiscard]] std::unique_ptr<Backend> make_expected_backend(DType kv_dtype = DType::kF32);

}  // namespace secondsource::conformance
