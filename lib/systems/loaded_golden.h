#pragma once
// Runs the golden pass of any loaded system. Its tokens are judged by the expected outputs if the bundle has some, and
// otherwise compared with an oracle's answers; without either the record says that they are unverified, and why.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "golden/golden_pass.h"
#include "record/golden_record.h"
#include "systems/system_job.h"

namespace secondsource {

/// The two ways in which one system verifies its tokens.
struct TokenVerification {
  std::function<Result<GoldenRecord>()> against_expected;
  std::function<Result<GoldenRecord>(const OracleAnswers&)> against_oracle;
};

/// Judges the tokens by the expected outputs of `inputs`, if there are any. In any case the record states what was run
/// and how long it took, and how many prompts the model cannot take and why.
Result<GoldenRecord> verify_tokens(const SystemJob& job, const GoldenInputs& inputs,
                                   const std::optional<OracleAnswers>& answers, const TokenVerification& verification);

/// The first `n_tokens` token ids of the greedy answer to a prompt.
using GreedyAnswer =
    std::function<Result<std::vector<std::int32_t>>(const std::vector<std::int32_t>& prompt, std::int32_t n_tokens)>;

/// Counts how many of the oracle's answers a system repeats, and after how many tokens the others diverge. It gives no
/// verdict, because two correct implementations may diverge at a near tie.
Result<GoldenRecord> compare_with_oracle(const OracleAnswers& answers, const GreedyAnswer& greedy_answer);

}  // namespace secondsource
