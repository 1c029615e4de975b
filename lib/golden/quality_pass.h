#pragma once
// The quality of a variant as a backend computes it: how far its distributions are from the reference's distributions
// in bf16 after the same tokens, and how many of the prompts' questions it still answers. docs/correctness.md defines
// the figures; bundles/recipes/acceptance.py computes the same figures from PyTorch, for the manifest.
//
// A variant is compared with the reference in bf16, so it needs no expected outputs of its own.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bundle/manifest.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/model_session.h"
#include "golden/golden_pass.h"

namespace secondsource {

/// The variant whose reference outputs are compared with those of all other variants.
inline constexpr std::string_view kQualityBase = "bf16";

/// Lookup accuracy is counted separately for prompts in each range of lengths that ends with one of these numbers of
/// tokens.
inline constexpr std::int64_t kLookupLengths[] = {1024, 2048, 8192, 16384, 32768};

struct QualityResult {
  /// kl_mean, top1_agreement and perplexity_ratio over the answers of the reference; lookup_accuracy and
  /// invented_answers where prompts state answers. Without limits.
  Quality quality;
  std::int64_t n_prompts = 0;
  std::int64_t n_positions = 0;
  std::int64_t n_lookups = 0;       ///< prompts behind lookup_accuracy
  std::int64_t n_unanswerable = 0;  ///< prompts behind invented_answers
  std::vector<std::string> skipped;
};

/// Decodes every case along the reference's answer in kQualityBase and compares each position; `inputs` are those of
/// kQualityBase, and the session's variant is the one to be judged. An answer counts as right if the variant's best
/// tokens begin with it. Positions that decide no verdict on a backend, because rounding may choose another expert
/// there, count like any other, because here the rounding of the variant is judged. Errors: those of the engine;
/// kInvalidInput when no prompt can be run; kInternal for logits that are not finite; kInterrupted.
Result<QualityResult> run_quality_pass(ModelSession& session, const GoldenInputs& inputs,
                                       const GoldenPassOptions& options, Progress& progress);

/// Mean negative log-likelihood a token, in nats, of a text's ids: each window of at most `window` ids is scored by
/// itself, and its first id has no likelihood. Errors: those of the engine; kInvalidInput for fewer than two ids;
/// kInterrupted.
Result<double> mean_nll_of_text(Engine& engine, std::span<const std::int32_t> ids, std::int64_t window,
                                Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
