#pragma once
// The verdict on the tokens of a server, by as much as the server shows of them (VerdictLevel). docs/correctness.md
// defines the levels. Also: whether the same request has the same answer twice, and beside others.

#include <cstdint>
#include <span>

#include "core/progress.h"
#include "core/result.h"
#include "golden/golden_pass.h"
#include "record/golden_record.h"
#include "systems/served_endpoint.h"
#include "systems/system_job.h"

namespace secondsource {

struct ServedGoldenOptions {
  std::span<const std::int32_t> eos_ids;  ///< of the model
};

/// Judges the cases of `inputs` that can be sent to the server as they are; the record lists the others with the reason.
/// Levels are tried from the most that this kind of server can show; a server that does not show it is judged by the
/// next, and the record says why. Errors: kUnavailable, kDeadline: the server does not answer.
Result<GoldenRecord> run_served_golden(ServedEndpoint& endpoint, const GoldenInputs& inputs,
                                       const ServedGoldenOptions& options, Progress& progress);

/// For a bundle without expected outputs: how many of the oracle's answers the server repeats. No verdict.
Result<GoldenRecord> compare_served_with_oracle(ServedEndpoint& endpoint, const OracleAnswers& answers,
                                                Progress& progress);

}  // namespace secondsource
