#pragma once
// Judges the tokens of a system that is not ours as far as it reveals them (VerdictLevel, docs/correctness.md), and
// measures whether it gives the same answer to a request when it is repeated and when it runs together with others.

#include <cstdint>
#include <optional>
#include <span>

#include "core/progress.h"
#include "core/result.h"
#include "golden/golden_pass.h"
#include "record/golden_record.h"
#include "systems/system_job.h"
#include "systems/token_source.h"

namespace secondsource {

/// The golden pass of a system that is not ours. Without expected outputs it only counts how many of the oracle's
/// answers the system repeats and gives no verdict.
///
/// With expected outputs it judges the cases of `inputs` that can be sent to the system unchanged; the record lists the
/// others with the reason. It starts with the level that sees most of what this kind of system can show. If the system
/// does not provide it, the next level is used, and the record says why. `eos_ids` are the model's. Errors: those of
/// the source.
Result<GoldenRecord> verify_foreign_tokens(const SystemJob& job, const GoldenInputs& inputs,
                                           const std::optional<OracleAnswers>& answers,
                                           std::span<const std::int32_t> eos_ids, TokenSource& source,
                                           Progress& progress);

}  // namespace secondsource
