#include "golden/golden_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/check.h"
#include "core/checked.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/utf8.h"
#include "golden/forced_decode.h"

namespace secondsource {
namespace {

constexpr std::size_t kMostFindings = 5;

/// A position that was neither a match nor a near tie.
struct Finding {
  std::size_t place = 0;  ///< index of the prompt in the suite
  std::string_view prompt;
  std::int64_t index = 0;  ///< index of the generated token
  std::int32_t expected_id = -1;
  PositionJudgement judgement;
};

std::string sentence_of(const Finding& finding) {
  const PositionJudgement& judgement = finding.judgement;
  const std::string where = fmt::format("prompt {}, token {}", finding.prompt, finding.index);
  if (judgement.kind == PositionKind::kNonFinite) return where + ": expected finite logits, found others";
  const std::string gap =
      std::isinf(judgement.reference_gap)
          ? "not among the reference's best"
          : fmt::format("whose log-probability in the reference is {:.3g} lower", judgement.reference_gap);
  return fmt::format("{}: expected id {}, found {}, {}", where, finding.expected_id, judgement.best_id, gap);
}

/// Checks that the prompt has the ids that the reference answered. Otherwise one prompt would be judged by the answer
/// to another.
Result<void> check_ids(const GoldenInputs& inputs, const EncodedPrompt& prompt, const ExpectedOutput& expected) {
  const auto n_ids = static_cast<std::int64_t>(prompt.ids.size());
  if (n_ids != expected.n_prompt_ids || sha256_of_ids(prompt.ids) != expected.prompt_sha256) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("bundle {}: prompt {}: expected the {} ids that the reference answered to ({} ...), found "
                    "{} others: tokenizer, template or prompt changed since expect.py ran",
                    inputs.bundle, prompt.id, expected.n_prompt_ids, expected.prompt_sha256.substr(0, 12), n_ids)};
  }
  return {};
}

/// What a backend generated for a prompt, as it arrived.
struct Stream {
  const GoldenCase* one = nullptr;
  std::vector<std::int32_t> ids{};
  std::optional<StreamingDecoder> decoder{};
  std::string text{};
  FinishReason finish = FinishReason::kNone;
};

/// Returns what is wrong with a finished stream; empty if nothing is.
std::string fault_of(const Stream& stream, const GoldenInputs& inputs) {
  const ExpectedOutput& expected = stream.one->expected;
  const std::string where = fmt::format("prompt {}, streamed", stream.one->prompt.id);
  const StreamJudgement judgement = judge_stream(expected, stream.ids, inputs.acceptance.near_tie_tau);
  if (stream.finish == FinishReason::kNonFinite || stream.finish == FinishReason::kContext) {
    return fmt::format("{}: expected {} tokens, found {} and an early end: {}", where, expected.ids.size(),
                       stream.ids.size(), to_string(stream.finish));
  }
  if (judgement.kind == PositionKind::kWrong) {
    const auto index = static_cast<std::size_t>(judgement.n_equal);
    const auto id_at = [index](const std::vector<std::int32_t>& ids) {
      return index < ids.size() ? fmt::format("id {}", ids[index]) : std::string("the end");
    };
    return fmt::format("{}, token {}: expected {}, found {}", where, index, id_at(expected.ids), id_at(stream.ids));
  }
  if (inputs.tokenizer != nullptr && stream.text != inputs.tokenizer->decode(stream.ids)) {
    return fmt::format("{}: the streamed text differs from the whole one", where);
  }
  return "";
}

/// One pass in progress.
class Pass {
 public:
  Pass(ModelSession& session, const GoldenInputs& inputs, const GoldenPassOptions& options, Progress& progress)
      : session_(session), inputs_(inputs), options_(options), progress_(progress) {}

  Result<GoldenResult> run() {
    const std::int64_t started_ns = now_ns();
    RunnableCases runnable = runnable_cases(session_, inputs_);
    const auto n_cases = static_cast<std::int64_t>(runnable.cases.size());
    result_.skipped = std::move(runnable.skipped);
    result_.record.n_skipped = static_cast<std::int32_t>(runnable.n_skipped + inputs_.n_left_out);
    progress_.begin(fmt::format("golden pass, {} {}", session_.backend().device().backend, inputs_.variant), n_cases);
    SS_TRY_VOID(decode_forced(session_.engine(), runnable.cases, options_, progress_,
                              [this](const GoldenCase& one, const TokenEvent& event) { judge(one, event); }));
    SS_TRY_VOID(run_streams(runnable.cases));
    judge_answers(runnable.cases);
    conclude(n_cases, now_ns() - started_ns);
    return std::move(result_);
  }

 private:
  /// Generates freely the prompts that are to be streamed as well. This judges the ids that the backend samples itself;
  /// forced decode feeds it the reference's ids.
  Result<void> run_streams(const std::vector<const GoldenCase*>& cases) {
    Engine& engine = session_.engine();
    std::map<RequestId, Stream> open;
    for (const GoldenCase* one : cases) {
      if (!one->prompt.stream) continue;
      Request request{.prompt_ids = one->prompt.ids,
                      .max_new_tokens = static_cast<std::int32_t>(one->expected.ids.size()),
                      .may_generate = static_cast<std::int32_t>(one->prompt.max_new_tokens),
                      .stop_ids = session_.config().eos_ids};
      auto id = engine.submit(std::move(request));
      if (!id) return id.error().with_context(fmt::format("prompt {}", one->prompt.id));
      Stream stream{.one = one};
      if (inputs_.tokenizer != nullptr) stream.decoder = inputs_.tokenizer->stream();
      open.emplace(*id, std::move(stream));
    }
    while (engine.has_work()) {
      if (options_.interrupt != nullptr) SS_TRY_VOID(options_.interrupt->check());
      SS_TRY(const std::vector<TokenEvent> events, engine.step({now_ns() + options_.step_deadline_ns}));
      for (const TokenEvent& event : events) {
        Stream& stream = open.at(event.request);
        if (event.id >= 0) stream.ids.push_back(event.id);
        if (event.id >= 0 && stream.decoder) stream.text += stream.decoder->push(event.id);
        stream.finish = event.finish;
        if (event.finish != FinishReason::kNone && stream.decoder) stream.text += stream.decoder->finish();
      }
      progress_.update(static_cast<std::int64_t>(cases.size()));
    }
    for (const auto& [id, stream] : open) {
      if (std::string fault = fault_of(stream, inputs_); !fault.empty()) stream_faults_.push_back(std::move(fault));
    }
    if (!open.empty()) result_.record.n_streamed = static_cast<std::int32_t>(open.size());
    return {};
  }

  /// Compares the texts of the backend and of the reference with the answers that the prompts state. Answers are a
  /// matter of quality and decide no verdict; answers that only the backend gets wrong are listed.
  void judge_answers(const std::vector<const GoldenCase*>& cases) {
    if (inputs_.tokenizer == nullptr) return;
    std::int32_t n_answers = 0;
    std::int32_t n_right = 0;
    std::int32_t n_reference_right = 0;
    for (const GoldenCase* one : cases) {
      if (!one->prompt.answer) continue;
      ++n_answers;
      const std::string text = inputs_.tokenizer->decode(best_ids_[one], {.skip_special = true});
      const bool is_right = begins_with_answer(text, *one->prompt.answer);
      const bool is_reference_right =
          begins_with_answer(inputs_.tokenizer->decode(one->expected.ids, {.skip_special = true}), *one->prompt.answer);
      n_right += is_right ? 1 : 0;
      n_reference_right += is_reference_right ? 1 : 0;
      if (is_reference_right && !is_right && lost_answers_.size() < kMostFindings) {
        lost_answers_.push_back(fmt::format("prompt {}: expected an answer that begins with \"{}\", found \"{}\"",
                                            one->prompt.id, shown(*one->prompt.answer), shown(text)));
      }
    }
    if (n_answers == 0) return;
    result_.record.n_answers = n_answers;
    result_.record.n_answers_right = n_right;
    result_.record.n_reference_answers_right = n_reference_right;
  }

  void judge(const GoldenCase& one, const TokenEvent& event) {
    const auto index = static_cast<std::size_t>(event.index);
    const double tau = inputs_.acceptance.near_tie_tau;
    const bool is_lost = event.finish == FinishReason::kNonFinite;
    const PositionJudgement judgement = is_lost ? PositionJudgement{.kind = PositionKind::kNonFinite}
                                                : judge_position(one.expected, index, event.logits, tau);
    result_.tally.add(judgement, one.expected.top1_margin[index], tau);
    if (one.prompt.answer) best_ids_[&one].push_back(judgement.best_id);
    if (judgement.kind == PositionKind::kWrong || judgement.kind == PositionKind::kNonFinite) {
      findings_.push_back({static_cast<std::size_t>(&one - inputs_.cases.data()), one.prompt.id, event.index,
                           one.expected.ids[index], judgement});
    }
  }

  void add_findings(GoldenRecord& record) {
    // Batches interleave prompts, so sort the findings by prompt for the reader.
    std::sort(findings_.begin(), findings_.end(), [](const Finding& a, const Finding& b) {
      return std::pair(a.place, a.index) < std::pair(b.place, b.index);
    });
    for (std::size_t i = 0; i < std::min(findings_.size(), kMostFindings); ++i) {
      record.reasons.push_back(sentence_of(findings_[i]));
    }
  }

  void add_stream_faults(GoldenRecord& record) const {
    if (stream_faults_.empty()) return;
    record.reasons.push_back(fmt::format("streams: expected none wrong, found {} of {}", stream_faults_.size(),
                                         record.n_streamed.value_or(0)));
    const auto n_shown = static_cast<std::ptrdiff_t>(std::min(stream_faults_.size(), kMostFindings));
    record.reasons.insert(record.reasons.end(), stream_faults_.begin(), stream_faults_.begin() + n_shown);
  }

  /// Adds notes on positions that are not judged and on a verdict that excludes large errors only.
  void add_reach(GoldenRecord& record) const {
    const GoldenTally& tally = result_.tally;
    if (tally.n_unsteady > 0) {
      record.reasons.push_back(
          fmt::format("{} not judged: a rounding there, or in a token before, may choose another expert",
                      counted(tally.n_unsteady, "position is", "positions are")));
    }
    if (record.verdict == GoldenVerdict::kPassed && tally.is_weak()) {
      record.reasons.push_back(fmt::format(
          "a weak verdict: for {} this model has many near ties; at {} of {} positions the reference's best two "
          "ids are within {:.3g} (near_tie_tau), so only large errors would show",
          inputs_.variant, tally.n_reference_near, tally.n_positions, inputs_.acceptance.near_tie_tau));
    }
  }

  void conclude(std::int64_t n_prompts, std::int64_t duration_ns) {
    GoldenRecord& record = result_.record;
    const GoldenTally& tally = result_.tally;
    record.bundle = inputs_.bundle;
    record.backend = session_.backend().device().backend;
    record.variant = inputs_.variant;
    record.suite = inputs_.suite;
    record.n_prompts = static_cast<std::int32_t>(n_prompts);
    record.n_positions = tally.n_positions;
    record.n_match = tally.n_match;
    record.n_near_tie = tally.n_near_tie;
    record.n_wrong = tally.n_wrong + tally.n_non_finite;
    record.duration_ns = duration_ns;
    if (!inputs_.unverified.empty() || tally.n_positions == 0) {
      record.verdict = GoldenVerdict::kUnverified;
      record.reasons.push_back(!inputs_.unverified.empty() ? inputs_.unverified
                               : n_prompts == 0            ? "no golden prompt could be run"
                                                           : "no position of the golden prompts could be judged");
    } else {
      record.kl_mean = tally.kl_mean();
      record.kl_worst = tally.kl_worst;
      record.nll_difference_mean = tally.nll_difference_mean();
      record.reasons = broken_rules(tally, inputs_.acceptance);
      add_findings(record);
      add_stream_faults(record);
      record.verdict = record.reasons.empty() ? GoldenVerdict::kPassed : GoldenVerdict::kFailed;
      // Lost answers are only listed for a passed verdict, since wrong tokens lose answers as well and their reasons
      // say more.
      if (record.verdict == GoldenVerdict::kPassed) record.reasons = lost_answers_;
    }
    add_reach(record);
    record.reasons.insert(record.reasons.end(), inputs_.left_out.begin(), inputs_.left_out.end());
    record.reasons.insert(record.reasons.end(), result_.skipped.begin(), result_.skipped.end());
  }

  ModelSession& session_;
  const GoldenInputs& inputs_;
  const GoldenPassOptions& options_;
  Progress& progress_;
  GoldenResult result_;
  std::vector<Finding> findings_;
  std::vector<std::string> stream_faults_;
  std::map<const GoldenCase*, std::vector<std::int32_t>> best_ids_;  ///< the backend's best ids, where an answer is
  std::vector<std::string> lost_answers_;
};

}  // namespace

std::int64_t n_tokens(const GoldenCase& one) {
  return static_cast<std::int64_t>(one.prompt.ids.size() + one.expected.ids.size());
}

Result<GoldenInputs> golden_inputs_of(const Bundle& bundle, const BundleText& text, const PromptSuite& suite,
                                      std::string_view variant) {
  GoldenInputs inputs{.bundle = bundle.name(),
                      .suite = suite.name,
                      .variant = std::string(variant),
                      .cases = {},
                      .acceptance = {},
                      .unverified = {},
                      .left_out = {},
                      .tokenizer = text.tokenizer()};
  inputs.left_out = describe_skipped(suite.skipped);
  inputs.n_left_out = static_cast<std::int64_t>(suite.skipped.size());
  if (!suite.expected || !suite.acceptance) {
    inputs.unverified = fmt::format("bundle {} has no independent expected outputs for {}", bundle.name(), variant);
    if (bundle.manifest() == nullptr) {
      inputs.unverified += fmt::format(
          "; it is a model folder: make a bundle of it (`secondsource bundle create --from-hf {} --out BUNDLE`), and its "
          "expected outputs with bundles/recipes/expect.py",
          bundle.folder().string());
    }
    return inputs;
  }
  inputs.acceptance = *suite.acceptance;
  std::map<std::string_view, const ExpectedOutput*> by_prompt;
  for (const ExpectedOutput& one : *suite.expected) by_prompt[one.prompt] = &one;
  if (suite.prompts.empty() && suite.skipped.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("bundle {}: suite {}: expected prompts with that tag, found none", bundle.name(),
                             in_quotes(suite.name))};
  }
  std::int64_t n_without_record = 0;
  for (const EncodedPrompt& prompt : suite.prompts) {
    const auto found = by_prompt.find(prompt.id);
    if (found == by_prompt.end()) {
      ++n_without_record;
      continue;
    }
    SS_TRY_VOID(check_ids(inputs, prompt, *found->second));
    inputs.cases.push_back({prompt, *found->second});
  }
  if (n_without_record > 0) {
    inputs.n_left_out += n_without_record;
    inputs.left_out.push_back(
        fmt::format("{} no record of the reference", counted(n_without_record, "prompt has", "prompts have")));
  }
  return inputs;
}

Result<GoldenInputs> load_golden_inputs(const Bundle& bundle, const BundleText& text, std::string_view suite,
                                        std::string_view variant) {
  SS_TRY(const PromptSuite loaded, load_prompt_suite(bundle, text, suite, variant));
  return golden_inputs_of(bundle, text, loaded, variant);
}

EngineOptions golden_engine_options(const GoldenInputs& inputs) {
  constexpr std::int32_t kMaxSeqs = 16;
  std::int64_t longest = 1;      // tokens including the document
  std::int64_t longest_own = 1;  // tokens that a prompt adds to a shared document
  for (const GoldenCase& one : inputs.cases) {
    longest = std::max(longest, n_tokens(one));
    longest_own = std::max(longest_own, n_tokens(one) - one.prompt.n_document_ids);
  }
  EngineOptions options;
  options.scheduler.max_seqs = kMaxSeqs;
  options.max_context = longest;
  options.kv_tokens = longest + kMaxSeqs * longest_own;
  return options;
}

Result<GoldenResult> run_golden_pass(ModelSession& session, const GoldenInputs& inputs,
                                     const GoldenPassOptions& options, Progress& progress) {
  SS_CHECK(session.variant().name == inputs.variant, "the session runs the variant that the inputs are for");
  return Pass(session, inputs, options, progress).run();
}

}  // namespace secondsource
