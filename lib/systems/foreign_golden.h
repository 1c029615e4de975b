#pragma once
// The verdict on the tokens of a system that is not ours, by as much as it shows of them (VerdictLevel).
// docs/correctness.md defines the levels. Also: whether the same request has the same answer twice, and beside others.

#include <cstdint>
#include <span>

#include "core/progress.h"
#include "core/result.h"
#include "golden/golden_pass.h"
#include "record/golden_record.h"
#include "systems/system_job.h"
#include "systems/token_source.h"

namespace secondsource {

struct ForeignGoldenOptions {
  std::span<const std::int32_t> eos_ids;  ///< of the model
};

/// Judges the cases of `inputs` that can be sent to the system as they are; the record lists the others with the reason.
/// Levels are tried from the most that this kind of system can show; one that does not show it is judged by the next,
/// and the record says why. Errors: those of the source.
Result<GoldenRecord> run_foreign_golden(TokenSource& source, const GoldenInputs& inputs,
                                        const ForeignGoldenOptions& options, Progress& progress);

/// For a bundle without expected outputs: how many of the oracle's answers the system repeats. No verdict.
Result<GoldenRecord> compare_foreign_with_oracle(TokenSource& source, const OracleAnswers& answers);

}  // namespace secondsource
