#include "systems/loaded_golden.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/clock.h"

namespace secondsource {
namespace {

Result<GoldenRecord> unverified_record(const GoldenInputs& inputs, const std::optional<OracleAnswers>& answers,
                                       const TokenVerification& verification) {
  GoldenRecord record;
  if (answers) {
    SS_TRY(record, verification.against_oracle(*answers));
  } else {
    record.verdict = GoldenVerdict::kUnverified;
    record.reasons.push_back(inputs.unverified);
  }
  record.n_skipped = static_cast<std::int32_t>(inputs.n_left_out);
  record.reasons.insert(record.reasons.end(), inputs.left_out.begin(), inputs.left_out.end());
  return record;
}

}  // namespace

Result<GoldenRecord> verify_tokens(const SystemJob& job, const GoldenInputs& inputs,
                                   const std::optional<OracleAnswers>& answers, const TokenVerification& verification) {
  const std::int64_t started_ns = now_ns();
  SS_TRY(GoldenRecord record, inputs.unverified.empty() ? verification.against_expected()
                                                        : unverified_record(inputs, answers, verification));
  record.bundle = job.bundle_name;
  record.backend = job.backend;
  record.variant = job.variant;
  record.suite = job.suite;
  record.duration_ns = now_ns() - started_ns;
  return record;
}

Result<GoldenRecord> compare_with_oracle(const OracleAnswers& answers, const GreedyAnswer& greedy_answer) {
  GoldenRecord record;
  record.verdict = GoldenVerdict::kUnverified;
  std::int64_t n_whole = 0;
  for (std::size_t index = 0; index < answers.prompts.size(); ++index) {
    const std::vector<std::int32_t>& expected = answers.answers[index];
    SS_TRY(const std::vector<std::int32_t> ids,
           greedy_answer(answers.prompts[index], static_cast<std::int32_t>(expected.size())));
    const auto parted = std::mismatch(expected.begin(), expected.end(), ids.begin(), ids.end());
    ++record.n_prompts;
    record.n_positions += static_cast<std::int64_t>(expected.size());
    record.n_match += parted.first - expected.begin();
    if (parted.first == expected.end()) ++n_whole;
  }
  record.reasons.push_back(fmt::format(
      "no expected outputs; against {}: {} of {} short answers are the same, {} of {} tokens before they part",
      answers.oracle, n_whole, record.n_prompts, record.n_match, record.n_positions));
  return record;
}

}  // namespace secondsource
