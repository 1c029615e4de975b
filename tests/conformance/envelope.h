#pragma once
// E is the reference with the roundings that a backend may make (docs/correctness.md): matmul inputs, queries, keys,
// values and softmax weights to BF16, and products summed in f32. All tolerances derive from |E - R|.

#include <memory>

#include "backend/backend.h"

namespace secondsource::conformance {

/// Makes draw `draw` in [0, kDraws) of E. Draw 0 rounds to BF16. The others round c * x to BF16 and divide by c, with c
/// = 2^(draw / kDraws), which gives different errors of the same size. Values that are exact in BF16 stay exact in all
/// draws. Sums of products differ by the errors that f32 sums may have, unless they are sums of integers. `kv_dtype` is
/// that of make_expected_backend().
[[nodiscard]] std::unique_ptr<Backend> make_envelope_backend(int draw, DType kv_dtype = DType::kF32);

/// Makes R, the reference, in this process. `kv_dtype` is that of the backend under test: an i8 cache is i8 here too,
/// all others are f32.
[[nodiscard]] std::unique_ptr<Backend> make_expected_backend(DType kv_dtype = DType::kF32);

}  // namespace secondsource::conformance
