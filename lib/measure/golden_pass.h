#pragma once
// The golden pass: forced decode of golden prompts through the engine's own way, every position judged against the
// reference's record (docs/correctness.md).
//
//   SS_TRY(const GoldenInputs inputs, load_golden_inputs(bundle, text, "smoke", "int8"));
//   SS_TRY(auto session, ModelSession::open(std::move(backend), bundle.config(), bundle.tensors(), "int8",
//                                           golden_engine_options(inputs), progress));
//   SS_TRY(const GoldenResult result, run_golden_pass(*session, inputs, {}, progress));

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/model_session.h"
#include "measure/bundle_text.h"
#include "measure/golden_judge.h"
#include "report/records.h"

namespace secondsource {

/// One prompt with the reference's answer.
struct GoldenCase {
  EncodedPrompt prompt;
  ExpectedOutput expected;
};

/// Everything that the pass of one suite in one variant needs; the same for every backend.
struct GoldenInputs {
  std::string bundle;
  std::string suite;
  std::string variant;
  std::vector<GoldenCase> cases;
  Acceptance acceptance;
  /// Why there is no verdict to be had ("the manifest has no expected outputs for int4"); empty when there is.
  std::string unverified;
  std::vector<std::string> left_out;  ///< prompts of the suite without a record, with the reason
  std::vector<std::string> bad_text;  ///< streamed prompts whose text comes out differently in pieces
};

/// Errors: kInvalidInput, also when a prompt's ids are not those that the reference answered to.
Result<GoldenInputs> load_golden_inputs(const Bundle& bundle, const BundleText& text, std::string_view suite,
                                        std::string_view variant);

/// An engine whose cache holds the longest prompt, and the forks of its document beside it.
[[nodiscard]] EngineOptions golden_engine_options(const GoldenInputs& inputs);

struct GoldenPassOptions {
  std::int64_t step_deadline_ns = 600'000'000'000;
};

struct GoldenResult {
  /// The verdict is "passed", "failed" or "unverified"; its reasons are broken rules, then the first positions that are
  /// wrong, in the order of the prompts, then what was left out.
  GoldenRecord record;
  GoldenTally tally;
  std::vector<std::string> skipped;  ///< one sentence a reason, with a count
};

/// DeviceInfo::properties of a backend that is too slow for long prompts: it runs those of at most so many ids, and the
/// result says so.
inline constexpr std::string_view kGoldenLimitProperty = "golden_limit_tokens";

/// Runs all cases that the device and the engine's cache take. The session's engine must be idle and know logits.
/// Errors: what the engine returns.
Result<GoldenResult> run_golden_pass(ModelSession& session, const GoldenInputs& inputs,
                                     const GoldenPassOptions& options, Progress& progress);

}  // namespace secondsource
