#pragma once
// The rule by which the next token is chosen, for backends whose logits are in host memory. It depends on the row and
// its parameters alone, never on what else is in the batch.

#include <cstdint>
#include <span>

#include "backend/batch.h"
#include "backend/for_each.h"
#include "core/matrix_view.h"

namespace secondsource {

/// Greedy (temperature 0): the largest logit, ties to the lowest id. Otherwise: logits / temperature, keep the top_k
/// largest (0: all), softmax, keep the smallest set of most likely tokens whose sum reaches top_p, renormalize, and
/// take the first token, in order of falling probability (ties by id), whose running sum exceeds random_unit(seed,
/// position). A forced id overrides, a forbidden id is left out before anything else. Log-probabilities reported are of
/// the unmodified distribution; the sum of exponentials is accumulated in f64.
[[nodiscard]] SampledToken sample_row(std::span<const float> logits, const SamplingParams& params, std::int32_t n_top);

/// The same for each row of logits [tokens, vocabulary], bit for bit, whatever `for_each` does at once: rows, and
/// pieces of a row where they are long.
void sample_rows(const MatrixView<const float>& logits, std::span<const SamplingParams> params, std::int32_t n_top,
                 const ForEach& for_each, std::span<SampledToken> tokens);

}  // namespace secondsource
