#pragma once
// The rule that chooses the next token, for backends whose logits are in host memory. The choice depends only on the
// row and its parameters, never on the rest of the batch.

#include <cstdint>
#include <span>

#include "backend/batch.h"
#include "backend_kit/for_each.h"
#include "core/matrix_view.h"

namespace secondsource {

/// Greedy (temperature 0): the largest logit, ties to the lowest id. Otherwise: divide the logits by the temperature,
/// keep the top_k largest (0: all), take the softmax, keep the smallest set of most likely tokens whose sum reaches
/// top_p, renormalize, and take the first token, in order of descending probability (ties by id), whose running sum
/// exceeds random_unit(seed, position). A forced id overrides this; a forbidden id is left out before all other rules.
/// The reported log-probabilities are those of the unmodified distribution; the sum of exponentials is accumulated in
/// f64.
[[nodiscard]] SampledToken sample_row(std::span<const float> logits, const SamplingParams& params, std::int32_t n_top);

/// Does the same for each row of logits [tokens, vocabulary]. The results are bit for bit the same however `for_each`
/// distributes the work: rows, and pieces of long rows.
void sample_rows(const MatrixView<const float>& logits, std::span<const SamplingParams> params, std::int32_t n_top,
                 const ForEach& for_each, std::span<SampledToken> tokens);

}  // namespace secondsource
