#pragma once
// Forced decode of golden prompts: the engine computes every prompt and then, token by token, a given answer,
// regardless of the tokens that it would have chosen itself. Each of its distributions can therefore be compared with
// the one in the record.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "engine/model_session.h"
#include "golden/golden_pass.h"

namespace secondsource {

/// The cases that a session can run, and why it cannot run the others.
struct RunnableCases {
  std::vector<const GoldenCase*> cases;
  std::int64_t n_skipped = 0;
  std::vector<std::string> skipped;  ///< one sentence per reason, with a count
};

/// Selects the cases within the device's own limit (kGoldenLimitProperty) and the context of the session's engine. The
/// result points into `inputs`.
[[nodiscard]] RunnableCases runnable_cases(ModelSession& session, const GoldenInputs& inputs);

/// Called for every position of a case, in the order of its tokens; batches interleave cases.
using ForcedObserver = std::function<void(const GoldenCase& one, const TokenEvent& event)>;

/// Decodes all cases along their records, with logits. Cases that share a document follow each other and fork its cache.
/// The engine must be idle and able to return logits. Errors: those of the engine; kDeadline when one step takes
/// longer than its deadline; kInterrupted.
Result<void> decode_forced(Engine& engine, std::vector<const GoldenCase*> cases, const GoldenPassOptions& options,
                           Progress& progress, const ForcedObserver& observe);

}  // namespace secondsource
