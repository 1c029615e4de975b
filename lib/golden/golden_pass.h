#pragma once
// The golden pass: forced decode of the golden prompts through the regular engine, with every position judged against
// the reference's record; and the prompts that are to be streamed a second time, generated freely
// (docs/correctness.md).
//
//   SS_TRY(const GoldenInputs inputs, load_golden_inputs(bundle, text, "smoke", "int8"));
//   SS_TRY(auto session, ModelSession::open(std::move(backend), bundle.config(), bundle.tensors(), "int8",
//                                           golden_engine_options(inputs), progress, interrupt));
//   SS_TRY(const GoldenResult result, run_golden_pass(*session, inputs, {}, progress));

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "bundle/prompt_suite.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/model_session.h"
#include "golden/golden_judge.h"
#include "record/records.h"

namespace secondsource {

/// One prompt with the answer of the reference.
struct GoldenCase {
  EncodedPrompt prompt;
  ExpectedOutput expected;
};

/// The tokens of a case: its prompt, and the answer of the reference.
[[nodiscard]] std::int64_t n_tokens(const GoldenCase& one);

/// Everything that the pass of one suite in one variant needs. It is the same for every backend.
struct GoldenInputs {
  std::string bundle;
  std::string suite;
  std::string variant;
  std::vector<GoldenCase> cases;
  Acceptance acceptance;
  /// Why no verdict is possible ("the manifest has no expected outputs for int4"); empty if one is.
  std::string unverified;
  std::vector<std::string> left_out;     ///< prompts of the suite that are not run, with the reason
  std::int64_t n_left_out = 0;           ///< how many of them the model cannot take
  const Tokenizer* tokenizer = nullptr;  ///< of the text that the inputs were loaded with; nullptr if it has none
};

/// The inputs of a suite that is already loaded. Errors: kInvalidInput, also if a prompt's ids are not those that the
/// reference answered. `text` must outlive the result.
Result<GoldenInputs> golden_inputs_of(const Bundle& bundle, const BundleText& text, const PromptSuite& suite,
                                      std::string_view variant);

/// Loads the suite first. Errors: those of load_prompt_suite() and golden_inputs_of().
Result<GoldenInputs> load_golden_inputs(const Bundle& bundle, const BundleText& text, std::string_view suite,
                                        std::string_view variant);

/// Options of an engine whose cache holds the longest prompt, and the forks of its document beside it.
[[nodiscard]] EngineOptions golden_engine_options(const GoldenInputs& inputs);

struct GoldenPassOptions {
  std::int64_t step_deadline_ns = 600'000'000'000;
  const InterruptFlag* interrupt = nullptr;  ///< checked before each step of the engine; may be nullptr
};

struct GoldenResult {
  /// The verdict is "passed", "failed" or "unverified"; its reasons are first the broken rules, then the first wrong
  /// positions in the order of the prompts, then what was streamed wrongly, then lost answers and what was left out.
  GoldenRecord record;
  GoldenTally tally;
  std::vector<std::string> skipped;  ///< one sentence per reason, with a count
};

/// Key in DeviceInfo::properties by which a slow backend limits the golden prompts that it runs to those of at most
/// this many ids. The result lists the skipped ones.
inline constexpr std::string_view kGoldenLimitProperty = "golden_limit_tokens";

/// Runs all cases that fit the device's limit and the engine's cache. The session's engine must be idle and able to
/// return logits. Errors: those of the engine; kInterrupted.
Result<GoldenResult> run_golden_pass(ModelSession& session, const GoldenInputs& inputs,
                                     const GoldenPassOptions& options, Progress& progress);

}  // namespace secondsource
