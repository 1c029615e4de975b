#pragma once
// Judges the tokens of a system that is not ours by as much as it shows of them (VerdictLevel, docs/correctness.md), and
// measures whether the same request has the same answer twice, and beside others.

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

/// The golden pass of a system that is not ours. Without expected outputs it counts how many of the oracle's answers the
/// system repeats, without a verdict.
///
/// With them it judges the cases of `inputs` that can be sent to the system as they are; the record lists the others with
/// the reason. Levels are tried from the most that this kind of system can show; one that does not show it is judged by
/// the next, and the record says why. `eos_ids` are the model's. Errors: those of the source.
Result<GoldenRecord> verify_foreign_tokens(const SystemJob& job, const GoldenInputs& inputs,
                                           const std::optional<OracleAnswers>& answers,
                                           std::span<const std::int32_t> eos_ids, TokenSource& source,
                                           Progress& progress);

}  // namespace secondsource
